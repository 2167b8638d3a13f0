"""Measure, compare and judge inference on AWS Inferentia, night after night."""

__version__ = "0.1.0"

"""Devices that compile and run models, behind one door: `benchlib.backends.base.Backend`."""

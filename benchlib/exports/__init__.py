"""The stored measurements as files for other programs."""

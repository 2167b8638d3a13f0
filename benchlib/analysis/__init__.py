"""Statistics, peak, validity and comparison: pure functions over stored results."""

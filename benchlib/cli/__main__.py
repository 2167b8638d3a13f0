"""`python -m benchlib.cli`, where the console script is not installed."""

from benchlib.cli import main

main()

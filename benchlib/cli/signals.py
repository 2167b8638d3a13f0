"""Ctrl-C, a closed terminal and SIGTERM all end a command in the same orderly way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

# SIGINT too: a shell starts its background jobs deaf to it.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within this block SIGTERM and SIGHUP are Ctrl-C, and Ctrl-C is exit status 130 after the clean-up."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING}
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("bench: stopped", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

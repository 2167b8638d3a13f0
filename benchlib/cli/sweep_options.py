"""The options that say what to sweep, made from the specification for every command that starts a sweep."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from benchlib.orchestration.sweep_params import PARAMETERS, allowed, describe

PANELS = {
    "What to measure": ("model", "revision", "sequence_length", "seed", "batch_sizes", "precision"),
    "How hard to drive it": ("replicas", "workers", "batches_per_worker", "rounds", "warmup_batches"),
    "Where": ("backend", "compiler_args", "interpreter"),
    "Kept with the result": ("label", "note"),
}


def with_sweep_options(defaults: Mapping[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per parameter of a sweep; its first argument is a mapping of those given.

    An option without a default that is not given is not in the mapping.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        own_names = {parameter.name for parameter in own}

        def run(**given: Any) -> None:
            rest = {name: value for name, value in given.items() if name in own_names}
            params = {name: given[name] for name in PARAMETERS if given[name] is not None}
            if "compiler_args" in params:
                params["compiler_args"] = shlex.split(params["compiler_args"])
            command(params, **rest)

        run.__name__, run.__doc__, run.__annotations__ = command.__name__, command.__doc__, {}
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(name, panel, defaults.get(name)) for panel, names in PANELS.items() for name in names]
            + [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        )
        return run

    return decorate


def _parameter(name: str, panel: str, default: str | None) -> inspect.Parameter:
    option = typer.Option(
        f"--{name.replace('_', '-')}", help=_help(name), metavar=_metavar(name), rich_help_panel=panel
    )
    # Text for all: what is wrong with a value is for the specification to say, here as anywhere.
    annotation = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _metavar(name: str) -> str:
    limits = allowed(name)
    if limits.startswith("a whole number"):
        return "N|auto" if limits.endswith("auto") else "N"
    if limits.startswith("one of "):
        return limits.removeprefix("one of ").replace(", ", "|")
    return {"model": "MODEL", "batch_sizes": "SIZES", "interpreter": "PYTHON"}.get(name, "TEXT")


def _help(name: str) -> str:
    purpose, limits = describe(name), allowed(name)
    sentences = [purpose] if limits in purpose else [purpose, limits]
    return " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in sentences if text)

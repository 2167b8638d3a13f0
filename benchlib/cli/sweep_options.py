"""The options that say what to sweep, made from the specification for every command that starts a sweep."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from benchlib.orchestration.sweep_params import PARAMETERS, allowed, describe
from benchlib.profiles import PROFILES

PANELS = {
    "What to measure": (
        "model",
        "batch_sizes",
        "sequence_length",
        "precision",
        "revision",
        "seed",
        "head",
        "inputs",
    ),
    "How hard to drive it": (
        "scenario",
        "replicas",
        "workers",
        "worker_mode",
        "batches_per_worker",
        "rounds",
        "warmup",
        "warmup_batches",
        "stop",
        "duration_s",
        "relative_half_width",
        "latency_limit_ms",
        "target_batches_per_s",
        "arrival_seed",
        "interleave",
    ),
    "Where": ("backend", "compiler_args", "interpreter"),
    "Kept with the result": ("label", "note"),
}


LONGEST_METAVAR = 16
"""A longer one would take the room of the help beside it."""


def with_sweep_options(defaults: Mapping[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per parameter of a sweep; its first argument is a mapping of those given.

    An option without a default that is not given is not in the mapping. With a profile, which is in the
    mapping under that name, it holds what was typed and no defaults: they are for the profile to cover.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        own_names = {parameter.name for parameter in own}

        def run(context: typer.Context, **given: Any) -> None:
            rest = {name: value for name, value in given.items() if name in own_names}
            params = {name: given[name] for name in PARAMETERS if given[name] is not None}
            if "compiler_args" in params:
                params["compiler_args"] = shlex.split(params["compiler_args"])
            if given["profile"] is not None:
                typed = {name: value for name, value in params.items() if _is_typed(context, name)}
                params = {"profile": given["profile"], **typed}
            command(params, **rest)

        run.__name__, run.__annotations__ = command.__name__, {}
        run.__doc__ = unwrapped(inspect.getdoc(command) or "")
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_CONTEXT, _profile_parameter()]
            + [
                _parameter(name, panel, defaults.get(name))
                for panel, names in PANELS.items()
                for name in names
            ]
            + [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        )
        return run

    return decorate


_CONTEXT = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _profile_parameter() -> inspect.Parameter:
    purposes = " ".join(f"{profile.name}: {profile.purpose}" for profile in PROFILES)
    option = typer.Option(
        "--profile",
        help=f"Named settings, under what is typed beside them. {purposes}",
        metavar="NAME",
        rich_help_panel=next(iter(PANELS)),
    )
    return inspect.Parameter(
        "profile", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def unwrapped(text: str) -> str:
    """One line a paragraph: the terminal breaks them where it ends."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _parameter(name: str, panel: str, default: str | None) -> inspect.Parameter:
    option = typer.Option(_option(name), help=_help(name), metavar=_metavar(name), rich_help_panel=panel)
    # Text for all: what is wrong with a value is for the specification to say, here as anywhere.
    annotation = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _metavar(name: str) -> str:
    limits, choices = allowed(name), "|".join(_choices(name))
    if limits.startswith("a whole number"):
        return "N|auto" if limits.endswith("auto") else "N"
    if limits.startswith("a number"):
        return "NUMBER"
    if choices:
        return choices if len(choices) <= LONGEST_METAVAR else "CHOICE"
    return {"model": "MODEL", "batch_sizes": "SIZES", "interpreter": "PYTHON"}.get(name, "TEXT")


def _help(name: str) -> str:
    purpose, limits, choices = describe(name), allowed(name), _choices(name)
    said = limits in purpose or (choices and all(choice in purpose for choice in choices))
    sentences = [text for text in ([purpose] if said else [purpose, limits]) if text]
    return " ".join(f"{_sentence(text)}." for text in sentences)


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a value as it is typed; parameters become their options."""
    text = re.sub(r"\w+_\w+", lambda word: _option(word[0]) if word[0] in PARAMETERS else word[0], text)
    return text.rstrip(".") if re.match("[a-z_0-9]+:", text) else text[:1].upper() + text[1:].rstrip(".")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _choices(name: str) -> list[str]:
    limits = allowed(name)
    if limits == "true or false":
        return ["true", "false"]
    return limits.removeprefix("one of ").split(", ") if limits.startswith("one of ") else []

"""Compiler flags, always all of them: a default that moves is a program that changes unnoticed.

Up to SDK 2.26 a program compiled without ``--auto-cast`` multiplied matrices in bf16; from 2.27 on the same
command gives fp32. So every compilation names its target, model type, casting and optimisation level, and
what the user gives replaces the profile's flag of the same name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from benchlib.backends.base import ResolvedPrecision
from benchlib.errors import BadInput

PROFILE_PREFIX = "profile:"

Flag = tuple[str, str | None]
"""Name and value, if it takes one: ("--auto-cast", "none")."""


@dataclass(frozen=True)
class Profile:
    """A named set of flags, complete in itself."""

    name: str
    precision: ResolvedPrecision
    flags: tuple[Flag, ...]
    reason: str


def _flags(auto_cast: str) -> tuple[Flag, ...]:
    return (
        ("--target", "inf2"),
        ("--model-type", "transformer"),
        ("--auto-cast", auto_cast),
        ("--auto-cast-type", "bf16"),
        ("--optlevel", "2"),
    )


PROFILES: tuple[Profile, ...] = (
    Profile(
        "matmult-bf16",
        "bf16",
        _flags("matmult"),
        "fp32 weights, matrix products in bf16: what AWS's published BERT figures are labelled with, and the "
        "compiler's own default until SDK 2.26. Used for precision bf16.",
    ),
    Profile(
        "all-bf16",
        "bf16",
        _flags("all"),
        "Every operation in bf16: faster for some models, with a larger numerical error.",
    ),
    Profile(
        "none",
        "fp32",
        _flags("none"),
        "Nothing is cast: the compiler's own default since SDK 2.27. Used for precision fp32.",
    ),
)
"""The first profile of a precision is its default."""

_ALIASES = {"-O": "--optlevel"}


def compiler_flags(precision: ResolvedPrecision, compiler_args: Sequence[str]) -> tuple[str, ...]:
    """The complete flags of a compilation, one word each.

    Args:
        precision: chooses the profile where the arguments name none.
        compiler_args: flags as neuronx-cc takes them; the first may be ``profile:NAME``.

    Raises:
        BadInput: unknown profile, no flag, or a casting that is not the precision that the result will
            be labelled with.
    """
    profile, given = _profile(precision, compiler_args)
    named = _parse(given)
    merged = (*(flag for flag in profile.flags if flag[0] not in dict(named)), *named)
    _check_precision(precision, dict(merged))
    return tuple(word for flag in merged for word in _words(flag))


def command_flags(log: str) -> tuple[str, ...] | None:
    """The flags of the compiler's own command line, found in its log; ``None`` where it is not there.

    neuronx-cc begins its log with ``... [root]: /path/to/neuronx-cc compile graph.hlo --target inf2 ...``.
    """
    found = re.search(r"(?:^|[\s/])neuronx-cc compile\s+(.+)$", log, re.MULTILINE)
    if not found:
        return None
    try:
        words = shlex.split(found[1])
    except ValueError:
        words = found[1].split()
    return tuple(word for flag in _flags_among(words) for word in _words(flag))


def without_files(flags: Sequence[str]) -> tuple[str, ...]:
    """The flags whose value is no path: paths differ from run to run and tell nothing about the program."""
    kept = (flag for flag in _flags_among(flags) if "/" not in (flag[1] or ""))
    return tuple(word for flag in kept for word in _words(flag))


def not_applied(asked: Sequence[str], applied: Sequence[str]) -> tuple[str, ...]:
    """Which of the complete flags the compiler's command line does not have, such as ``--auto-cast none``.

    inf2 and trn1 are one target under two names (both are NeuronCore-v2), and torch_neuronx has been seen to
    pass the other one on. Of a flag that is there twice the last one counts, as it does for the compiler.
    """
    found = dict(_flags_among(applied))
    return tuple(
        " ".join(_words((name, value)))
        for name, value in dict(_parse(asked)).items()
        # A flag without a value may stand before a file's name.
        if name not in found or (value is not None and _one_name(found[name]) != _one_name(value))
    )


def check(compiler_args: Sequence[str]) -> None:
    """Refuse flags that no precision can be compiled with; raises `BadInput`."""
    try:
        compiler_flags("bf16", compiler_args)
    except BadInput:
        compiler_flags("fp32", compiler_args)


def target(flags: Sequence[str]) -> str:
    """The target that complete flags name, such as ``inf2``."""
    return flags[flags.index("--target") + 1]


def default_flags() -> str:
    """Both precisions' default flags as one text: part of a program's identity when nobody gave any."""
    precisions: tuple[ResolvedPrecision, ...] = ("bf16", "fp32")
    return "; ".join(" ".join(compiler_flags(precision, ())) for precision in precisions)


def _profile(precision: ResolvedPrecision, compiler_args: Sequence[str]) -> tuple[Profile, Sequence[str]]:
    if not compiler_args or not compiler_args[0].startswith(PROFILE_PREFIX):
        return next(profile for profile in PROFILES if profile.precision == precision), compiler_args
    name = compiler_args[0].removeprefix(PROFILE_PREFIX)
    for profile in PROFILES:
        if profile.name == name:
            return profile, compiler_args[1:]
    allowed = ", ".join(PROFILE_PREFIX + profile.name for profile in PROFILES)
    raise BadInput("compiler_args", compiler_args[0], allowed)


def _parse(words: Sequence[str]) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    for word in words:
        if word.startswith("-"):
            flags.append(_flag(word))
        elif flags and flags[-1][1] is None:
            flags[-1] = (flags[-1][0], word)
        else:
            raise BadInput("compiler_args", word, "flags of neuronx-cc, one word each, such as --optlevel 3")
    return tuple(flags)


def _flags_among(words: Sequence[str]) -> tuple[Flag, ...]:
    """The flags of a whole command line; a file's name may stand before, between and after them."""
    flags: list[Flag] = []
    takes_value = False
    for word in words:
        if word.startswith("-"):
            flags.append(_flag(word))
            takes_value = flags[-1][1] is None
        elif takes_value:
            flags[-1] = (flags[-1][0], word)
            takes_value = False
    return tuple(flags)


def _one_name(value: str | None) -> str | None:
    return "inf2" if value == "trn1" else value


def _flag(word: str) -> Flag:
    level = re.fullmatch(r"-O=?(\d)", word)
    if level:
        return "--optlevel", level[1]
    name, equals, value = word.partition("=")
    return _ALIASES.get(name, name), value if equals else None


def _words(flag: Flag) -> tuple[str, ...]:
    name, value = flag
    if name == "--optlevel":
        return (f"-O{value}",)
    return (name,) if value is None else (name, value)


def _check_precision(precision: ResolvedPrecision, flags: dict[str, str | None]) -> None:
    """A result is labelled with one precision; flags that make another are refused."""
    casts = flags["--auto-cast"] != "none"
    if casts != (precision == "bf16"):
        allowed = "matmult or all" if precision == "bf16" else "none"
        other = "fp32" if precision == "bf16" else "bf16"
        raise BadInput(
            "compiler_args",
            f"--auto-cast {flags['--auto-cast']}",
            f"{allowed} with precision {precision}; this one with precision {other}",
        )
    if flags["--auto-cast-type"] != "bf16":
        raise BadInput("compiler_args", f"--auto-cast-type {flags['--auto-cast-type']}", "bf16")

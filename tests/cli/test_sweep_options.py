"""What `bench demo --help` says of each option, and what reaches the command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchlib.cli.sweep_options import PANELS, with_sweep_options
from benchlib.orchestration.sweep_params import PARAMETERS, sweep_spec


def run(*arguments: str, width: int = 200) -> tuple[dict[str, Any], str]:
    """What the command was called with, and its output."""
    given: dict[str, Any] = {}

    @with_sweep_options({"rounds": "4"})
    def command(params: Mapping[str, Any]) -> None:
        """Do it,

        with two
        lines.
        """
        given.update(params)

    app = typer.Typer(rich_markup_mode="rich")
    app.command()(command)
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)})
    assert done.exit_code == 0, done.output
    return given, done.output


def help_of(option: str) -> str:
    """The words beside an option."""
    line = next(line for line in run("--help")[1].splitlines() if f" {option} " in line)
    return re.split(r"\s{2,}", line.strip("│ "), maxsplit=2)[2]


def test_every_parameter_is_in_exactly_one_panel() -> None:
    assert sorted(name for names in PANELS.values() for name in names) == sorted(PARAMETERS)


def test_only_what_is_given_or_has_a_default_reaches_the_command() -> None:
    assert run()[0] == {"rounds": "4"}
    given, _ = run("--stop", "precision", "--relative-half-width", "0.01", "--compiler-args", "-O2 '-x y'")
    assert given == {
        "rounds": "4",
        "stop": "precision",
        "relative_half_width": "0.01",
        "compiler_args": ["-O2", "-x y"],
    }


def test_a_profile_leaves_only_what_was_typed_beside_it() -> None:
    assert run("--profile", "tutorial")[0] == {"profile": "tutorial"}
    typed, _ = run("--profile", "tutorial", "--rounds", "4", "--batch-sizes", "1")
    assert typed == {"profile": "tutorial", "rounds": "4", "batch_sizes": "1"}


def test_what_is_typed_is_what_a_sweep_is_made_of() -> None:
    options = (
        "--scenario",
        "server",
        "--latency-limit-ms",
        "20",
        "--worker-mode",
        "native",
        "--warmup",
        "fixed",
    )
    spec = sweep_spec(run("--model", "config:tiny", "--batch-sizes", "1-2", *options)[0])
    assert (spec.scenario, spec.load.latency_limit_ms) == ("server", 20)
    assert (spec.load.worker_mode, spec.load.warmup, spec.load.rounds) == ("native", "fixed", 4)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--interleave", "true|false "),
        ("--rounds", "A whole number from 1 to 1000."),
        ("--worker-mode", "One of auto, thread, process, native."),
        ("--scenario", "offline: all workers always busy;"),
        ("--scenario", "random arrivals at --target-batches-per-s,"),
        ("--warmup", "fixed: --warmup-batches and no more;"),
        ("--duration-s", "A number above 0, at most 86400."),
        ("--inputs", "zeros_int32: ids and a mask of zeros"),
    ],
)
def test_help_speaks_of_what_can_be_typed(option: str, words: str) -> None:
    assert words in re.sub(r"[│\s]+", " ", run("--help")[1].partition(f" {option} ")[2])[:400]


def test_a_value_that_stands_for_itself_is_explained_once() -> None:
    assert "One of" not in help_of("--scenario")
    assert help_of("--scenario").startswith("offline:")


@pytest.mark.parametrize("width", [80, 120])
def test_no_option_is_cut_in_a_usual_terminal(width: int) -> None:
    _, shown = run("--help", width=width)
    assert [name for name in PARAMETERS if f" --{name.replace('_', '-')} " not in shown] == []
    assert "with two lines." in shown
    assert "…" not in shown

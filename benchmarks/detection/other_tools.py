"""Tools that cannot be installed beside ours, asked in an interpreter of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.detection.noise import Made
from benchmarks.detection.rules import RECENT, Alarm

WORKER = Path(__file__).with_name("change_points_worker.py")


@dataclass(frozen=True)
class OtherTool:
    """One tool and the interpreter that has it."""

    title: str
    name: str
    """As the worker knows it."""
    python: Path

    def alarms(self, series: Sequence[Made]) -> list[list[Alarm]]:
        """Of every series: what it reports within 14 nights of tonight counts as tonight's alarm."""
        lines = "".join(f"{json.dumps(made.values.tolist())}\n" for made in series)
        command = [str(self.python), str(WORKER), self.name]
        done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True)
        return [_alarms(json.loads(line)) for line in done.stdout.splitlines()]


def _alarms(nights: list[tuple[int, list[tuple[int, bool]]]]) -> list[Alarm]:
    return [Alarm(night, up) for night, found in nights for at, up in found if at >= night - RECENT]


def otava(python: Path) -> list[OtherTool]:
    strict = "Otava, p 1e-5, 2 %, 3 nights"
    return [OtherTool("Otava 0.8, defaults", "otava", python), OtherTool(strict, "otava-strict", python)]


def e_divisive(python: Path) -> list[OtherTool]:
    return [OtherTool("E-Divisive (MongoDB)", "e-divisive", python)]

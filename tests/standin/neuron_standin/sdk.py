"""Versions of each SDK release, and what differed between them. ``NEURON_STANDIN_SDK`` chooses one."""

from __future__ import annotations

import os
from dataclasses import dataclass

SDK_VARIABLE = "NEURON_STANDIN_SDK"
DEFAULT_SDK = "2.31"
MARK = "+standin"


@dataclass(frozen=True)
class Sdk:
    release: str
    torch_neuronx: str | None
    """``None``: not part of this release."""
    neuronx_cc: str
    runtime: str
    driver: str
    tools: str

    @property
    def minor(self) -> int:
        return int(self.release.split(".")[1])

    @property
    def has_cpu_backend(self) -> bool:
        return self.minor >= 21

    @property
    def has_stable_placement(self) -> bool:
        return self.minor >= 25

    @property
    def casts_by_default(self) -> bool:
        return self.minor < 27

    @property
    def tools_tell_cores(self) -> bool:
        return self.minor >= 25

    @property
    def tools_exclude_each_other(self) -> bool:
        return self.minor < 28


def _sdk(
    release: str, torch_neuronx: str | None, neuronx_cc: str, runtime: str, driver: str, tools: str
) -> Sdk:
    marked = None if torch_neuronx is None else torch_neuronx + MARK
    return Sdk(release, marked, f"{neuronx_cc}.0{MARK}", f"{runtime}.0", f"{driver}.0", f"{tools}.0")


_ALL = (
    # Build numbers of these two are not published in one place; only what they lack matters here.
    _sdk("2.20", "2.1.2.2.3.0", "2.15.0", "2.22.0", "2.18.0", "2.20.0"),
    _sdk("2.23", "2.6.0.2.7.0", "2.18.0", "2.25.0", "2.21.0", "2.23.0"),
    _sdk("2.24", "2.7.0.2.8.6734", "2.19.8089", "2.26.42", "2.22.2", "2.24.54"),
    _sdk("2.25", "2.7.0.2.9.9357", "2.20.9961", "2.27.23", "2.23.9", "2.25.145"),
    _sdk("2.26", "2.8.0.2.10.13553", "2.21.18209", "2.28.23", "2.24.7", "2.26.14"),
    _sdk("2.27", "2.9.0.2.11.19912", "2.22.12471", "2.29.40", "2.25.4", "2.27.33"),
    _sdk("2.28", "2.9.0.2.12.22436", "2.23.6484", "2.30.51", "2.26.5", "2.28.23"),
    _sdk("2.29", "2.9.0.2.13.24727", "2.24.5133", "2.31.24", "2.27.4", "2.29.18"),
    _sdk("2.30", "2.9.0.2.14.27725", "2.25.3371", "2.32.31", "2.28.0", "2.30.10"),
    _sdk("2.31", "2.9.0.2.15.32035", "2.26.6360", "2.33.10", "2.29.0", "2.31.13"),
    _sdk("2.32", None, "2.27.5334", "2.34.10", "2.30.2", "2.32.28"),
)
SDKS = {sdk.release: sdk for sdk in _ALL}


def current() -> Sdk:
    return SDKS[os.environ.get(SDK_VARIABLE) or DEFAULT_SDK]

"""Finds the Python that has torch-neuronx on this host, without importing torch_neuronx.

AWS's machine images keep one virtual environment per purpose under ``/opt``, named after its PyTorch version;
AWS's containers keep everything under ``/opt/conda``. Nothing but the standard library is used, so that both
planes can ask.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchlib.errors import BadInput, BenchError

PACKAGES = ("torch-neuronx", "neuronx-cc", "torch", "transformers")
VERIFY_TIMEOUT_S = 20.0
FIRST_COMPILER_WITHOUT_TORCH_NEURONX = (2, 27)
"""neuronx-cc of SDK 2.32, the first SDK that ships no torch-neuronx."""

PIN_ADVICE = (
    "SDK 2.32 and later contain no torch-neuronx; use a machine image or container of SDK 2.31 or earlier, "
    "or install requirements/neuron-2.31.txt into a virtual environment and name its Python "
    "(docs/neuron-host.md)"
)

_VENV = re.compile(r"aws_neuronx_venv_pytorch_(\d+)_(\d+)(?:_(.+))?")
# Reads the installed packages' metadata: an import could claim the accelerator's cores.
_ASK = """
import json, platform
from importlib import metadata
def version(name):
    try: return metadata.version(name)
    except metadata.PackageNotFoundError: return None
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in %r}}))
"""

Origin = Literal["override", "venv", "container"]


@dataclass(frozen=True)
class NeuronInterpreter:
    """A Python that has torch-neuronx, and what else it has; ``None``: not installed."""

    python: Path
    origin: Origin
    python_version: str
    torch_neuronx: str
    neuronx_cc: str | None
    torch: str | None
    transformers: str | None


@dataclass(frozen=True)
class _Unfit:
    """Why an interpreter cannot be used."""

    python: Path
    reason: str
    newer_sdk: bool = False


def find_neuron_interpreter(
    override: Path | None = None, *, root: Path = Path("/"), timeout_s: float = VERIFY_TIMEOUT_S
) -> NeuronInterpreter:
    """The interpreter to compile and measure with.

    An ``override`` is taken or refused, never replaced. Else AWS's virtual environments are tried, the plain
    ones first and the newest PyTorch first, then the Python of AWS's containers.

    Args:
        override: a Python, or the directory of a virtual environment.
        root: where ``opt`` lies.
        timeout_s: for each interpreter's answer.

    Raises:
        BadInput: the override has no torch-neuronx or is no Python.
        BenchError: none of the host's interpreters has torch-neuronx; says what to install.
    """
    if override is not None:
        found = _ask(_python_of(override), "override", timeout_s)
        if isinstance(found, NeuronInterpreter):
            return found
        raise BadInput("interpreter", str(override), f"a Python with torch-neuronx ({found.reason})")
    unfit = []
    for python, origin in _candidates(root):
        found = _ask(python, origin, timeout_s)
        if isinstance(found, NeuronInterpreter):
            return found
        unfit.append(found)
    raise BenchError(_nothing_found(root, unfit))


def list_neuron_interpreters(
    root: Path = Path("/"), timeout_s: float = VERIFY_TIMEOUT_S
) -> tuple[NeuronInterpreter, ...]:
    """Every usable interpreter of the host, the one that `find_neuron_interpreter` takes first."""
    answers = [_ask(python, origin, timeout_s) for python, origin in _candidates(root)]
    return tuple(found for found in answers if isinstance(found, NeuronInterpreter))


def _candidates(root: Path) -> Iterator[tuple[Path, Origin]]:
    ranked = []
    for directory in (root / "opt").glob("aws_neuronx_venv_pytorch_*"):
        match = _VENV.fullmatch(directory.name)
        if match and "vllm" not in directory.name:
            major, minor, suffix = int(match[1]), int(match[2]), match[3] or ""
            ranked.append((bool(suffix), -major, -minor, suffix, directory))
    for *_, directory in sorted(ranked):
        yield directory / "bin" / "python", "venv"
    conda = root / "opt" / "conda" / "bin" / "python"
    if conda.exists():
        yield conda, "container"


def _python_of(path: Path) -> Path:
    return path / "bin" / "python" if path.is_dir() else path


def _ask(python: Path, origin: Origin, timeout_s: float) -> NeuronInterpreter | _Unfit:
    # Another interpreter's paths would answer for it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        answer = subprocess.run(
            [str(python), "-c", _ASK % (PACKAGES,)],
            capture_output=True,
            check=True,
            cwd="/",
            env=environ,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
        versions: dict[str, str | None] = json.loads(answer.stdout.splitlines()[-1])
    except OSError as error:
        return _Unfit(python, f"{error.strerror}: {python}")
    except subprocess.TimeoutExpired:
        return _Unfit(python, f"{python} did not answer within {timeout_s:g} s")
    except (subprocess.CalledProcessError, IndexError, ValueError):
        return _Unfit(python, f"{python} is not a working Python")
    return _judge(python, origin, versions)


def _judge(python: Path, origin: Origin, versions: dict[str, str | None]) -> NeuronInterpreter | _Unfit:
    torch_neuronx, neuronx_cc = versions["torch-neuronx"], versions["neuronx-cc"]
    if torch_neuronx is None:
        newer_sdk = neuronx_cc is not None and _release(neuronx_cc) >= FIRST_COMPILER_WITHOUT_TORCH_NEURONX
        reason = f"{python} has no torch-neuronx" + (f": {PIN_ADVICE}" if newer_sdk else "")
        return _Unfit(python, reason, newer_sdk)
    return NeuronInterpreter(
        python=python,
        origin=origin,
        python_version=str(versions["python"]),
        torch_neuronx=torch_neuronx,
        neuronx_cc=neuronx_cc,
        torch=versions["torch"],
        transformers=versions["transformers"],
    )


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _nothing_found(root: Path, unfit: list[_Unfit]) -> str:
    venvs = sorted((root / "opt").glob("aws_neuronx_venv_*"))
    told = "; ".join(one.reason for one in unfit if not one.newer_sdk)
    if any(one.newer_sdk for one in unfit) or (venvs and not unfit):
        return f"no interpreter with torch-neuronx on this host: {PIN_ADVICE}" + (
            f" ({told})" if told else ""
        )
    if unfit:
        return f"no interpreter with torch-neuronx on this host: {told}"
    where = f"{root / 'opt'}/aws_neuronx_venv_pytorch_* and {root / 'opt/conda'}"
    return (
        f"no interpreter with torch-neuronx on this host: there is nothing at {where} (docs/neuron-host.md)"
    )

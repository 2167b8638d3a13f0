"""Runs things under the data plane's own interpreter, which has torch and no pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON = os.environ.get("BENCH_DATA_PYTHON") or str(ROOT / ".venv-data" / "bin" / "python")


def environment(*paths: Path, **variables: str) -> dict[str, str]:
    """This environment with the project, and ``paths`` before it, on the import path."""
    search = os.pathsep.join(map(str, (*paths, ROOT)))
    return {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", **variables}


def facts(code: str, env: Mapping[str, str] | None = None) -> Any:
    """Run ``code`` and return what it leaves in a variable named ``facts``."""
    script = dedent(code) + "\nimport json; print('FACTS', json.dumps(facts))"
    done = subprocess.run(
        [PYTHON, "-c", script], env=env or environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("FACTS ")[2])


def benchlib(
    *arguments: object, env: Mapping[str, str] | None = None, python: str = PYTHON
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchlib``."""
    command = [python, "-m", "benchlib", *map(str, arguments)]
    return subprocess.run(command, env=env or environment(), capture_output=True, text=True, check=False)


def install_backend(folder: Path, name: str, code: str) -> Path:
    """A distribution that offers one backend class, ``Offered``; ``folder`` belongs on the import path."""
    (folder / f"{name}_backend.py").write_text(dedent(code))
    info = folder / f"{name}_backend-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[benchlib.backends]\n{name} = {name}_backend:Offered\n")
    return folder


CONTROL_PYTHON = sys.executable

"""docs/extending.md says what is so: its files are the repository's, and they work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchlib.backends.base import Backend
from tests import dataplane
from tests.core.conftest import Bench

DOCUMENT = dataplane.ROOT / "docs" / "extending.md"
EXAMPLES = dataplane.ROOT / "docs" / "examples"
INCLUDED = re.compile(r"<!-- file: (\S+) -->\n+```\w+\n(.*?)```", re.DOTALL)


def test_the_documented_files_are_the_files() -> None:
    included = dict(INCLUDED.findall(DOCUMENT.read_text()))
    examples = [path for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".toml")]
    assert included == {str(path.relative_to(DOCUMENT.parent)): path.read_text() for path in examples}


def test_every_path_and_name_in_the_document_exists() -> None:
    text = DOCUMENT.read_text()
    paths = set(re.findall(r"`((?:benchlib|docs|tests|sql|benchmarks)/[\w./-]+)`", text))
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (dataplane.ROOT / path).exists()] == []


def test_every_question_of_a_backend_is_told() -> None:
    questions = [name for name, value in vars(Backend).items() if callable(value) and name[0] != "_"]
    assert len(questions) > 5
    text = DOCUMENT.read_text()
    assert [name for name in questions if f"| `{name}` |" not in text] == []


def test_the_example_stays_small() -> None:
    assert len((EXAMPLES / "eager_backend" / "bench_eager.py").read_text().splitlines()) <= 60


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as pip installs it."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--target", str(target), str(EXAMPLES / "eager_backend")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.dataplane
def test_the_example_compiles_and_measures(installed: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path, dataplane.environment(installed))
    done, compiled = bench.compile(backend="eager")
    assert done.returncode == 0, done.stderr
    assert compiled["precision"] == "fp32"
    load = {"replicas": 2, "workers": 2, "batches_per_worker": 100}
    done, measured = bench.run("measure", bench.measure_request(compiled, **load))
    assert done.returncode == 0, done.stderr
    assert measured["backend"] == "eager"
    assert measured["throughput_inf_per_s"] > 0
    assert measured["environment"]["device"].endswith("CPU, eager")
    assert not measured["environment"]["hardware"]
    outputs = [check for check in measured["checks"] if check["name"].startswith("outputs_")]
    assert [check["passed"] for check in outputs] == [True] * 2


@pytest.mark.dataplane
@pytest.mark.parametrize(
    ("asked", "field"),
    [({"precision": "bf16"}, "precision"), ({"compiler_args": ["-O2"]}, "compiler_args")],
)
def test_the_example_refuses_what_it_lacks(
    installed: Path, tmp_path: Path, asked: dict[str, object], field: str
) -> None:
    done, failure = Bench(tmp_path, dataplane.environment(installed)).compile(backend="eager", **asked)
    assert done.returncode == 2
    assert failure["kind"] == "bad_input"
    assert failure["message"].startswith(f"{field}: ")


@pytest.mark.dataplane
def test_the_load_generator_alone() -> None:
    script = EXAMPLES / "drive_any_replica.py"
    done = subprocess.run(
        [dataplane.PYTHON, str(script)],
        env=dataplane.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = re.fullmatch(r"(\d+) inf/s, P50 (\d+\.\d\d) ms\nhello from replica 1\n", done.stdout)
    assert shown is not None, done.stdout
    throughput_inf_per_s, p50_ms = map(float, shown.groups())
    assert 0 < throughput_inf_per_s <= 4 * 8 / 0.002, "four workers, 8 inferences, 2 ms a call at least"
    assert p50_ms >= 2

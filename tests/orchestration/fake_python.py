"""An "interpreter" of the data plane: a real process that speaks its protocol and does as it is told."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

from benchlib.results import ArtifactRef, CompileResult, Environment, LatencySummary, Measurement

ENVIRONMENT = Environment(hardware=False, device="fake", fingerprint="fake")
ARTIFACT = ArtifactRef(key="a" * 64, filename="model_batch_size_1.pt", sha256="b" * 64, size_bytes=1)
COMPILED = CompileResult(
    batch_size=1,
    backend="cpu",
    precision="fp32",
    artifact=ARTIFACT,
    cache_hit=False,
    compile_duration_s=0.5,
    environment=ENVIRONMENT,
)
MEASURED = Measurement(
    filename="model_batch_size_1.pt",
    batch_size=1,
    backend="cpu",
    precision="fp32",
    replicas=1,
    workers=1,
    batches=100,
    inferences=100,
    duration_s=0.1,
    throughput_inf_per_s=1000.0,
    latency=LatencySummary(samples=100, mean_ms=1.0, p50_ms=1.0),
    environment=ENVIRONMENT,
    started_at=datetime(2026, 3, 1, tzinfo=UTC),
)

PRELUDE = r"""#!%(python)s -S
import json, os, signal, subprocess, sys, time
if sys.argv[1] == "-c":
    # Asked for the versions of its packages.
    names = ("torch", "transformers", "numpy", "pydantic", "fsspec")
    print(json.dumps(dict.fromkeys(names, "4.57.0")))
    sys.exit(0)
command = sys.argv[sys.argv.index("benchlib") + 1:]
stage = command[0]
if stage == "check-model":
    if command[-1] == "config:none":
        sys.stderr.write("ERROR model: 'config:none' is not allowed; allowed: what there is\n")
        sys.exit(2)
    sys.exit(0)
request_file, result_file = command[1], command[3]
request = json.load(open(request_file))
parts = request.get("requests", [request])
size = parts[0]["batch_size"]
def leave(result):
    with open(result_file, "w") as file:
        json.dump(result, file)
def leave_pid(path, pid):
    with open(path, "w") as file:
        file.write("%%d\n" %% pid)
def say(**step):
    print("BENCH-PROGRESS " + json.dumps(dict(step, stage=stage)), flush=True)
name = "model_batch_size_%%d.pt" %% size
COMPILED = json.loads(%(compiled)r)
COMPILED["batch_size"], COMPILED["artifact"]["filename"] = size, name
def measured(size):
    own = dict(batch_size=size, filename="model_batch_size_%%d.pt" %% size)
    return dict(json.loads(%(measured)r), inferences=100 * size, throughput_inf_per_s=1000.0 * size, **own)
MEASURED = measured(size)
IN_TURNS = dict(measurements=[measured(part["batch_size"]) for part in parts])
RESULT = {"compile": COMPILED, "measure": MEASURED, "measure-in-turns": IN_TURNS}[stage]
"""


def write_fake_python(script: Path, body: str) -> Path:
    """Write an executable that runs ``body`` after the prelude, whatever it is asked to run."""
    prelude = PRELUDE % {
        "python": sys.executable,
        "compiled": COMPILED.model_dump_json(),
        "measured": MEASURED.model_dump_json(),
    }
    script.write_text(prelude + dedent(body))
    script.chmod(0o755)
    return script


OBEDIENT = """
say(state="running", fraction=0.5, message="round 1 of 2, %.1f inf/s" % (900.0 * size))
leave(RESULT)
"""
"""Everything works."""


def failing(stage: str, size: int) -> str:
    """Everything works, but one stage of one batch size."""
    return f"""
if stage == {stage!r} and size == {size}:
    print("ERROR this one does not fit")
    leave(dict(stage=stage, kind="bad_input", message="batch size {size} does not fit"))
    sys.exit(2)
{OBEDIENT}"""

"""Does the cuda backend do on a real GPU what its tests show without one? Run by a person, not by CI.

    PYTHONPATH=. .venv-data/bin/python benchmarks/cuda_smoke.py

Compiles and measures as a sweep does, in fresh processes, with one replica and with two on each GPU, and
holds the measured P50 against the GPU's own clock: a latency below it would mean that a call does not wait
for its output. Exit status 0: all is right; 1: what is wrong was printed; 2: there is no GPU here.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchlib import models
from benchlib.artifacts import ArtifactStore
from benchlib.backends.cuda import CudaBackend
from benchlib.results import CompileResult, Measurement
from benchlib.spec import CompileRequest, LoadSpec, MeasureRequest, ModelSpec

CALLS = 50
TOLERANCE = 0.9
"""The clocks are read in different runs: the P50 may lie so far below the GPU's own time by chance."""


def main() -> int:
    options = _parser().parse_args()
    backend = CudaBackend()
    described = backend.describe()
    if not described.hardware:
        print(f"There is no GPU to try here: {described.device}")
        return 2
    print(f"{described.cores} x {described.device}")
    complaints: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-cuda-") as name:
        for batch_size in options.batch_sizes:
            complaints += _try(backend, described.cores, Path(name), options.model, batch_size)
    print("\n".join(complaints) or "All is right.")
    return 1 if complaints else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="config:bert-base-uncased")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 8], metavar="SIZE")
    return parser


def _try(backend: CudaBackend, gpus: int, folder: Path, model: str, batch_size: int) -> list[str]:
    """What is wrong at this batch size."""
    spec = ModelSpec(name=model)
    url = f"file://{folder}/store"
    compile_request = CompileRequest(model=spec, batch_size=batch_size, backend="cuda", artifact_url=url)
    compiled = CompileResult.model_validate_json(_run("compile", compile_request.model_dump_json(), folder))
    floor_ms = _gpu_time_ms(backend, compiled, url, spec)
    complaints = []
    for replicas in (gpus, 2 * gpus):
        request = MeasureRequest(
            artifact=compiled.artifact,
            artifact_url=url,
            batch_size=batch_size,
            backend="cuda",
            load=LoadSpec(replicas=replicas, workers=replicas, worker_mode="thread"),
        )
        measured = Measurement.model_validate_json(_run("measure", request.model_dump_json(), folder))
        print(_line(measured, floor_ms))
        complaints += _complaints(measured, floor_ms)
    return complaints


def _run(command: str, request: str, folder: Path) -> str:
    """The result file of one step, which runs in a process of its own as in a sweep."""
    path, result = folder / "request.json", folder / "result.json"
    path.write_text(request)
    result.unlink(missing_ok=True)
    step = [sys.executable, "-m", "benchlib", command, str(path), "--result", str(result)]
    done = subprocess.run(step, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed with status {done.returncode}:\n{done.stderr}")
    return result.read_text()


def _gpu_time_ms(backend: CudaBackend, compiled: CompileResult, url: str, spec: ModelSpec) -> float:
    """Median time of the program alone, between two events in its stream, by the GPU's clock."""
    import torch

    with tempfile.TemporaryDirectory() as name:
        bundle = ArtifactStore(url).fetch(compiled.artifact, Path(name))
        replica = backend.load(bundle.program, 0)
    example = [tensor.to("cuda:0") for tensor in models.load(spec, compiled.batch_size).example]
    times_ms: list[float] = []
    with backend.worker_context(), torch.cuda.stream(replica.stream):
        for _ in range(CALLS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            replica.module(*example)
            end.record()
            end.synchronize()
            times_ms.append(begin.elapsed_time(end))
    return statistics.median(times_ms[CALLS // 5 :])


def _line(measured: Measurement, floor_ms: float) -> str:
    return (
        f"batch size {measured.batch_size:4}  {measured.precision}  {measured.replicas} replicas  "
        f"{measured.throughput_inf_per_s:10,.1f} inf/s  P50 {measured.latency.p50_ms or 0:.3f} ms  "
        f"(the GPU alone {floor_ms:.3f} ms)"
    )


def _complaints(measured: Measurement, floor_ms: float) -> list[str]:
    """Every reason not to believe this measurement."""
    where = f"batch size {measured.batch_size}, {measured.replicas} replicas"
    found = [f"{where}: {check.name}: {check.advice}" for check in measured.checks if not check.passed]
    names = {check.name for check in measured.checks}
    wanted = ("gpu_not_throttled", "no_foreign_processes", "outputs_match_reference")
    found += [f"{where}: the check {name} is missing" for name in wanted if name not in names]
    if not measured.environment.hardware:
        found.append(f"{where}: the result is not marked as an accelerator's")
    p50_ms = measured.latency.p50_ms
    if p50_ms is None or p50_ms < TOLERANCE * floor_ms:
        found.append(f"{where}: the P50, {p50_ms} ms, is below the GPU's own time: calls do not wait")
    return found


if __name__ == "__main__":
    sys.exit(main())

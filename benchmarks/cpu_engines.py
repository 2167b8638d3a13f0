"""Which way of running a BERT on the CPU is the fastest? The cpu backend's choice rests on this.

    .venv-data/bin/python benchmarks/cpu_engines.py --rounds 9

Every engine lives in its own process, with its own thread limit, from start to end. They take turns, one
short round each, over and over, so that whatever else the machine does hits all of them alike. The figures
are the median of an engine's rounds, and the median of its ratios to the chosen engine's same round.
OpenVINO takes part when it can be imported (try it from a directory of its own:
``pip install --target DIR openvino`` and ``PYTHONPATH=DIR``).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchlib import models
from benchlib.backends.base import Program, ResolvedPrecision
from benchlib.backends.cpu import CpuBackend
from benchlib.loadgen import LoadOptions, measure, summarise
from benchlib.spec import ModelSpec

ROOT = Path(__file__).resolve().parent.parent

CHOSEN = 1
"""Which of the contenders the cpu backend is."""


@dataclass(frozen=True)
class Engine:
    """One way of running the model: who runs it, in which precision, how it is spread over the CPUs."""

    kind: str
    precision: ResolvedPrecision
    replicas: int
    threads: int

    @property
    def label(self) -> str:
        return f"{self.kind:12} {self.precision}  {self.replicas} replica(s) x {self.threads} thread(s)"


def contenders(cpus: int) -> list[Engine]:
    """Every kind in the precision that this CPU computes in, and TorchScript in the other one too."""
    own = CpuBackend().resolve_precision("auto")
    other: ResolvedPrecision = "fp32" if own == "bf16" else "bf16"
    kinds = ["torchscript", "inductor", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    return [
        Engine("torchscript", own, 1, cpus),
        *(Engine(kind, own, cpus, 1) for kind in kinds),
        Engine("torchscript", other, cpus, 1),
    ]


def build(engine: Engine, loaded: models.LoadedModel) -> Callable[[int], Any]:
    """The loader of the engine's i-th replica."""
    makers = {"torchscript": _torchscript, "inductor": _inductor, "openvino": _openvino}
    return makers[engine.kind](engine, loaded)


def _torchscript(engine: Engine, loaded: models.LoadedModel) -> Callable[[int], Any]:
    backend = CpuBackend()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(loaded.module, loaded.example, engine.precision, ())
        path = backend.compile(program, Path(folder), "model.pt")
        replicas = [backend.load(path, core) for core in range(engine.replicas)]
    return replicas.__getitem__


def _inductor(engine: Engine, loaded: models.LoadedModel) -> Callable[[int], Any]:
    import torch
    import torch._inductor.config

    torch._inductor.config.freezing = True
    module = loaded.module.to(torch.bfloat16) if engine.precision == "bf16" else loaded.module
    return lambda _: torch.compile(module)


def _openvino(engine: Engine, loaded: models.LoadedModel) -> Callable[[int], Any]:
    import openvino
    import torch

    with torch.inference_mode():
        converted = openvino.convert_model(
            torch.jit.trace(loaded.module, loaded.example, check_trace=False), example_input=loaded.example
        )
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[engine.precision],
        "INFERENCE_NUM_THREADS": engine.threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }

    def load(_: int) -> Callable[..., Any]:
        request = openvino.Core().compile_model(converted, "CPU", settings).create_infer_request()
        return lambda *tensors: request.infer([tensor.numpy() for tensor in tensors])

    return load


def serve(engine: Engine, arguments: argparse.Namespace) -> None:
    """Run one round for each line on stdin; answer with its inferences per second."""
    import torch

    torch.set_num_threads(engine.threads)
    spec = ModelSpec(name=arguments.model, sequence_length=arguments.sequence_length)
    load = build(engine, models.load(spec, arguments.batch_size))
    replicas = [load(i) for i in range(engine.replicas)]
    example = models.load(spec, arguments.batch_size).example
    backend = CpuBackend()
    with backend.worker_context():
        for replica in replicas:
            for _ in range(3):  # compiles, or lets the executor settle
                replica(*example)
    pinned = engine.replicas > 1
    options = LoadOptions(
        worker_context=backend.worker_context,
        cpus=[backend.worker_cpus(core) for core in range(engine.replicas)] if pinned else None,
    )
    print("READY", flush=True)
    for _ in sys.stdin:
        run = measure(
            replicas.__getitem__,
            example,
            workers=engine.replicas,
            batches_per_worker=arguments.batches,
            warmup_batches=1,
            options=options,
        )
        throughput = summarise(run.stamps, arguments.batch_size).total.throughput_inf_per_s
        print(f"RATE {throughput}", flush=True)


class Contender:
    """The process of one engine, waiting for its turn."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.rates: list[float] = []
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--engine", json.dumps(vars(engine))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(engine.threads), "PYTHONPATH": path},
        )

    def wait_for(self, word: str) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise SystemExit(f"{self.engine.label}: ended with status {self.process.wait()}")

    def take_turn(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.rates.append(float(self.wait_for("RATE")))

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compete(arguments: argparse.Namespace) -> None:
    crowd = []
    for engine in contenders(len(os.sched_getaffinity(0))):
        crowd.append(Contender(engine))
        crowd[-1].wait_for("READY")
    for _ in range(arguments.rounds):
        for contender in crowd:
            contender.take_turn()
    for contender in crowd:
        contender.close()
    print(f"{arguments.model}, batch {arguments.batch_size}, sequence {arguments.sequence_length}; ", end="")
    print(f"{arguments.rounds} rounds of {arguments.batches} batches per replica; inferences per second")
    for contender in sorted(crowd, key=lambda c: -statistics.median(c.rates)):
        print(describe(contender, crowd[CHOSEN]))


def describe(contender: Contender, chosen: Contender) -> str:
    """The ratio is the median over the rounds: both sides of each had the machine in the same seconds."""
    low, middle, high = min(contender.rates), statistics.median(contender.rates), max(contender.rates)
    ratio = statistics.median(a / b for a, b in zip(contender.rates, chosen.rates, strict=True))
    figures = f"median {middle:7.2f}  range {low:.2f} to {high:.2f}  ratio to the chosen engine {ratio:.3f}"
    return f"{contender.engine.label}  {figures}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="config:bert-base-uncased")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine")
    parser.add_argument("--batches", type=int, default=2, help="batches per replica and turn")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        serve(Engine(**json.loads(arguments.engine)), arguments)
    else:
        compete(arguments)


if __name__ == "__main__":
    main()

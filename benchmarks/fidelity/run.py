"""How far is the load generator from what this host can do at all?

    .venv-data/bin/python -m benchmarks.fidelity.run

Every case is an ideal device that takes exactly so long. Its limit is a plain C loop with one POSIX thread
per worker. The load generator, in the topology that it chooses for itself, and the tutorials' loop take
turns, in an order that rotates. The C loop runs before and after each of them, and a ratio is to the mean of
the two, so that whatever else the host does hits both sides alike. Shown is the median over the rounds
[least, greatest].
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

# Before torch is imported, here and in the children: an operator must not start a team of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchlib.loadgen import LoadOptions, Stamps, measure, summarise
from benchlib.loadgen.topology import Topology, choose_topology
from benchmarks.fidelity.cases import CASES, Case, Figures
from benchmarks.fidelity.report import Report, Turn, print_table, rows_of
from benchmarks.fidelity.tutorial import run_tutorial_loop

OURS, TUTORIAL = "benchlib", "tutorial loop"
ROUNDS, QUICK_ROUNDS = 7, 2
QUICK_SHARE, QUICK_MIN_BATCHES = 0.2, 200

Peer = Callable[[Case], Figures]
T = TypeVar("T")


def limit(case: Case) -> Figures:
    return figures_of(case.device.limit(case.workers, case.batches_per_worker, case.warmup_batches))


def ours(case: Case, topologies: dict[str, Topology]) -> Figures:
    run = measure(
        case.device,
        case.device.example,
        workers=case.workers,
        batches_per_worker=case.batches_per_worker,
        warmup_batches=case.warmup_batches,
        options=topologies[case.name].apply(LoadOptions()),
    )
    return figures_of(run.stamps)


def tutorial(case: Case) -> Figures:
    replicas = [case.device(i) for i in range(case.workers)]
    return run_tutorial_loop(replicas, case.device.example, case.batches_per_worker, case.warmup_batches)


def figures_of(stamps: Stamps) -> Figures:
    total = summarise(stamps, batch_size=1).total
    assert total.latency.p50_ms is not None
    assert total.latency.p99_ms is not None
    return Figures(total.throughput_inf_per_s, total.latency.p50_ms, total.latency.p99_ms)


def choose_topologies(cases: Sequence[Case]) -> dict[str, Topology]:
    topologies = {}
    for case in cases:
        topology = choose_topology(case.device, case.device.example, workers=case.workers)
        print(f"{case.name}: {topology.why}", flush=True)
        topologies[case.name] = topology
    return topologies


def take_turns(cases: Sequence[Case], peers: dict[str, Peer], rounds: int) -> list[Turn]:
    turns = []
    for index in range(rounds):
        for case in rotated(cases, index):
            print(f"round {index + 1} of {rounds}: {case.name}", file=sys.stderr)
            for peer in rotated(tuple(peers), index):
                before, figures, after = limit(case), peers[peer](case), limit(case)
                turns.append(Turn(case.name, peer, index, figures, before, after))
    return turns


def rotated(items: Sequence[T], by: int) -> list[T]:
    first = by % len(items)
    return [*items[first:], *items[:first]]


@dataclass(frozen=True)
class CpuClock:
    """CPU time of the whole host, and of this process with its children, up to one instant."""

    at_s: float
    host_s: float
    own_s: float

    @classmethod
    def read(cls) -> CpuClock:
        fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:8]]
        user, nice, system, _idle, _iowait, irq, softirq = fields
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own_s = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        busy_ticks = user + nice + system + irq + softirq
        return cls(time.monotonic(), busy_ticks / os.sysconf("SC_CLK_TCK"), own_s)

    def others_cores_until(self, later: CpuClock) -> float:
        busy_s = (later.host_s - self.host_s) - (later.own_s - self.own_s)
        return max(0.0, busy_s / (later.at_s - self.at_s))


def run(cases: Sequence[Case], rounds: int) -> Report:
    topologies = choose_topologies(cases)
    peers: dict[str, Peer] = {OURS: partial(ours, topologies=topologies), TUTORIAL: tutorial}
    began = CpuClock.read()
    turns = take_turns(cases, peers, rounds)
    return Report(
        written_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        platform=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        cpus=len(os.sched_getaffinity(0)),
        others_cores=began.others_cores_until(CpuClock.read()),
        rounds=rounds,
        topologies=topologies,
        rows=rows_of(cases, tuple(peers), turns),
        turns=turns,
    )


def shortened(case: Case) -> Case:
    return replace(
        case, batches_per_worker=max(QUICK_MIN_BATCHES, int(case.batches_per_worker * QUICK_SHARE))
    )


def main() -> int:
    """0 when every bar is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}")
    names = [case.name for case in CASES]
    parser.add_argument(
        "--cases", nargs="+", choices=names, default=names, metavar="CASE", help=", ".join(names)
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the calls: only to see that it runs")
    parser.add_argument("--output", type=Path, default=Path(".bench/fidelity.json"))
    arguments = parser.parse_args()
    cases = [case for case in CASES if case.name in arguments.cases]
    if arguments.quick:
        cases = [shortened(case) for case in cases]
    report = run(cases, arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS))
    print_table(report, judged_peer=OURS)
    report.write(arguments.output)
    print(f"every run is in {arguments.output}")
    return 0 if all(row.met for row in report.rows if row.peer == OURS) else 1


if __name__ == "__main__":
    sys.exit(main())

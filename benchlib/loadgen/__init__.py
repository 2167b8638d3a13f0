"""The load generator: workers that keep replicas busy, and the stamps they leave.

Drive anything callable with it::

    run = measure(load, example, workers=12, batches_per_worker=1000, stop=FixedRounds(3))
    result = summarise(run.stamps, batch_size=4)

``load(i)`` returns the i-th replica: a callable that takes the example inputs.
"""

from benchlib.loadgen.crew import WorkerFailed
from benchlib.loadgen.interleaved import InterleavedLoad, measure_interleaved
from benchlib.loadgen.job import LoadOptions
from benchlib.loadgen.run import LoadRun, measure
from benchlib.loadgen.stamps import Stamps
from benchlib.loadgen.stop import Duration, FixedRounds, Precision
from benchlib.loadgen.summary import LoadSummary, summarise
from benchlib.loadgen.warmup import WarmUp
from benchlib.loadgen.watch import Interrupted, LoadProgress

__all__ = [
    "Duration",
    "FixedRounds",
    "InterleavedLoad",
    "Interrupted",
    "LoadOptions",
    "LoadProgress",
    "LoadRun",
    "LoadSummary",
    "Precision",
    "Stamps",
    "WarmUp",
    "WorkerFailed",
    "measure",
    "measure_interleaved",
    "summarise",
]

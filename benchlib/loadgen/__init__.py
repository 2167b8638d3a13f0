"""The load generator: workers that keep replicas busy, and the stamps they leave.

Drive anything callable with it::

    stamps = measure(load, example, workers=12, replicas=12, batches_per_worker=1000, rounds=3)
    result = summarise(stamps, batch_size=4)

``load(i)`` returns the i-th replica: a callable that takes the example inputs.
"""

from benchlib.loadgen.run import LoadProgress, Stamps, WorkerFailed, measure
from benchlib.loadgen.summary import LoadSummary, summarise

__all__ = ["LoadProgress", "LoadSummary", "Stamps", "WorkerFailed", "measure", "summarise"]

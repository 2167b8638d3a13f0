"""The load generator alone: four closed loops over two replicas of something that isn't a model."""

import time
from collections.abc import Callable

from benchlib.loadgen import FixedRounds, LoadOptions, measure, summarise


def load(index: int) -> Callable[[str], str]:
    """The replica of this number: anything that can be called with the example."""

    def replica(request: str) -> str:
        time.sleep(0.002)  # the device
        return f"{request} from replica {index}"

    return replica


if __name__ == "__main__":
    run = measure(
        load,
        ("hello",),
        workers=4,
        batches_per_worker=50,
        stop=FixedRounds(3),
        options=LoadOptions(replicas=2, probe=lambda replica, example: replica(*example)),
    )
    total = summarise(run.stamps, batch_size=8).total
    print(f"{total.throughput_inf_per_s:.0f} inf/s, P50 {total.latency.p50_ms:.2f} ms")
    print(run.probes_after[1])

"""Runs in the interpreter that has another tool: series come in, change points go out, a line of JSON each.

``python change_points_worker.py otava|e-divisive`` reads ``[values...]`` and answers
``[[night, [[index, went up], ...]], ...]``: what the tool says of the last 100 nights on every night after
the warm-up. Needs nothing of this project, whose interpreter is another one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

WARM_UP = 30
WINDOW = 100


def otava(values: list[float], **settings: float) -> list[int]:
    from otava.analysis import compute_change_points

    # Copies as a list: an array longer than Otava's window would raise.
    return [int(each.index) for each in compute_change_points(list(values), **settings)[0]]


def otava_strict(values: list[float]) -> list[int]:
    points = otava(values, max_pvalue=1e-5, min_magnitude=0.02)
    bounds = [0, *points, len(values)]
    return [at for i, at in enumerate(points) if min(at - bounds[i], bounds[i + 2] - at) >= 3]


def e_divisive(values: list[float]) -> list[int]:
    from signal_processing_algorithms.determinism import deterministic_numpy_random
    from signal_processing_algorithms.energy_statistics.energy_statistics import e_divisive as find

    with deterministic_numpy_random(1234):
        return sorted(int(at) for at in find(list(values)))


TOOLS: dict[str, Callable[[list[float]], list[int]]] = {
    "otava": otava,
    "otava-strict": otava_strict,
    "e-divisive": e_divisive,
}


def nights(values: list[float], find: Callable[[list[float]], list[int]]) -> list[list[object]]:
    answers: list[list[object]] = []
    for night in range(WARM_UP, len(values)):
        first = max(0, night + 1 - WINDOW)
        window = values[first : night + 1]
        answers.append([night, [[first + at, up] for at, up in _directed(window, find(window))]])
    return answers


def _directed(values: list[float], points: list[int]) -> list[tuple[int, bool]]:
    bounds = [0, *points, len(values)]
    means = [sum(values[a:b]) / max(1, b - a) for a, b in zip(bounds, bounds[1:])]  # noqa: B905, RUF007
    return [(at, means[i + 1] > means[i]) for i, at in enumerate(points)]


if __name__ == "__main__":
    tool = TOOLS[sys.argv[1]]
    for line in sys.stdin:
        print(json.dumps(nights(json.loads(line), tool)), flush=True)

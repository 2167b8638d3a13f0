"""`bench releases` on what AWS published of text encoders on Inferentia2, from the CSV file to the words.

`published_encoders.csv` holds the rows of AWS's benchmark tables (awsdocs-neuron, SDK 2.9 to 2.27) whose
series have at least four releases.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bench

PUBLISHED = Path(__file__).with_name("published_encoders.csv")


def test_the_releases_that_slowed_published_models_are_told_with_their_evidence(bench: Bench) -> None:
    assert bench("import", str(PUBLISHED))[1].startswith("290 rows: 290 taken")
    code, out, err = bench("releases")
    assert (code, err) == (0, "")
    slower = next(line for line in out.splitlines() if line.startswith("SDK 2.26.0"))
    assert slower.startswith(
        "SDK 2.26.0, throughput worse: throughput -7.6% from the release before, on 1 of "
    )
    assert slower.endswith("still there in the next release.")
    row = next(line for line in out.splitlines() if line.startswith("bert-base-uncased"))
    assert row.split()[:6] == ["bert-base-uncased", "8", "inf2.xlarge", "2.25.0", "-7.6%", "+8.6%"]
    tail = next(line for line in out.splitlines() if line.startswith("SDK 2.18.0"))
    assert tail.startswith(
        "SDK 2.18.0, tail only worse: P99 +27.8% to +56.1% from the release before, on 6 of 19 series "
    )
    assert tail.endswith("gone in the next.")
    assert (
        "29 of 491 comparisons in 38 series tell of a change at p < 0.02; chance alone would bring up to 9.8"
        in out
    )

    _check_evidence(json.loads(bench("releases", "--json", "--model", "bert-base-uncased")[1]))
    _, strict, _ = bench("releases", "--rate", "0.001")
    assert "SDK 2.18.0, tail only worse" in strict
    assert "SDK 2.26.0" not in strict
    refused = bench("releases", "--model", "gpt-9")
    assert refused[:2] == (2, "")
    assert refused[2].startswith("bench: --model: 'gpt-9' is not allowed; allowed: a model that was imported")


def _check_evidence(report: dict[str, Any]) -> None:
    (event,) = report["events"]
    (step,) = event["steps"]
    assert (event["release"], event["pattern"], event["direction"]) == ("2.26.0", "throughput", "worse")
    moves = {move["metric"]: move for move in step["told"]}
    assert set(moves) == {"throughput_inf_per_s", "p50_ms"}
    assert moves["throughput_inf_per_s"]["baseline"] == ["2.20.0", "2.21.0", "2.22.0", "2.23.0", "2.25.0"]
    assert moves["throughput_inf_per_s"]["p"] < report["rate"] == 0.02
    assert moves["throughput_inf_per_s"]["next_relative_change"] == pytest.approx(-0.0662, abs=1e-3)


def test_without_an_import_there_is_one_sentence(bench: Bench) -> None:
    code, out, err = bench("releases")
    assert (code, out) == (1, "")
    assert err == "bench: no imported figure fits that names a release of the SDK: see bench import --help\n"

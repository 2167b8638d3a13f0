from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from benchlib.backends.neuron import flags
from benchlib.errors import BadInput
from benchlib.profiles import FAR, NAMES, PROFILES, expand, published_figures, sanity_check
from benchlib.results import Check, LatencySummary, Measurement
from benchlib.spec import LoadSpec, ModelSpec, parse_batch_sizes
from tests.orchestration.fake_python import ENVIRONMENT, MEASURED

STANDIN = {"hardware": False, "device": "Neuron stand-in", "instance_type": "stand-in inf2.xlarge"}
AWS = ModelSpec(name="bert-base-uncased", head="encoder", inputs="zeros_int32")


def test_a_profile_is_a_whole_workload_on_neuron() -> None:
    tutorial = expand("tutorial", {"backend": "neuron"})
    assert tutorial["model"] == "bert-base-cased-finetuned-mrpc"
    assert parse_batch_sizes(tutorial["batch_sizes"]) == tuple(range(1, 11))
    assert (tutorial["replicas"], tutorial["workers"], tutorial["batches_per_worker"]) == (12, 12, 1000)
    published = expand("aws-published", {"backend": "neuron"})
    assert parse_batch_sizes(published["batch_sizes"]) == (1, 8)
    assert (published["replicas"], published["workers"]) == (2, 2)
    model = {key: published[key] for key in ("head", "inputs", "sequence_length")}
    assert ModelSpec.model_validate({"name": published["model"], **model}) == AWS


@pytest.mark.parametrize("name", NAMES)
def test_a_profiles_flags_are_what_the_compiler_once_did_by_itself(name: str) -> None:
    given = expand(name, {"backend": "neuron"})["compiler_args"]
    complete = flags.compiler_flags("bf16", given)
    assert " ".join(complete) == (
        "--target inf2 --model-type generic --auto-cast matmult --auto-cast-type bf16 -O2"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("params", [{}, {"backend": "cpu"}])
def test_the_flags_of_one_compiler_are_given_to_no_other(name: str, params: dict[str, Any]) -> None:
    assert "compiler_args" not in expand(name, params)


def test_what_is_given_wins() -> None:
    given = {"backend": "neuron", "batch_sizes": "4", "compiler_args": ["-O3"], "label": "mine"}
    expanded = expand("aws-published", given)
    assert given.items() <= expanded.items()
    assert expanded["head"] == "encoder"


def test_a_form_sends_everything_so_what_nobody_touched_is_not_given() -> None:
    defaults = {"model": "bert-base-uncased", "replicas": "auto", "workers": "auto", "backend": "neuron"}
    expanded = expand("tutorial", {**defaults, "workers": 24, "note": None}, {**defaults, "note": None})
    assert (expanded["model"], expanded["replicas"]) == ("bert-base-cased-finetuned-mrpc", 12)
    assert expanded["workers"] == 24
    assert expanded["note"] is None


def test_no_profile_changes_nothing_and_an_unknown_one_is_refused() -> None:
    assert expand(None, {"model": "m"}) == {"model": "m"}
    with pytest.raises(BadInput, match="tutorial, aws-published") as refusal:
        expand("tutorials", {})
    assert refusal.value.field == "profile"


def test_every_parameter_of_a_profile_is_one_of_the_specification() -> None:
    known = {*ModelSpec.model_fields, *LoadSpec.model_fields, "model", "batch_sizes", "compiler_args"}
    for profile in PROFILES:
        assert {*profile.params, *profile.neuron_params} <= known
        assert profile.purpose.endswith(".")


def measured(
    throughput: float, p50_ms: float | None, batch_size: int = 8, sdk: str | None = "2.26.0", **changes: Any
) -> Measurement:
    device = {"hardware": True, "device": "Inferentia2", "instance_type": "inf2.xlarge", "neuron_sdk": sdk}
    figures: dict[str, Any] = {
        "backend": "neuron",
        "precision": "bf16",
        "batch_size": batch_size,
        "replicas": 2,
        "workers": 2,
        "throughput_inf_per_s": throughput,
        "latency": LatencySummary(samples=100, p50_ms=p50_ms),
        "environment": ENVIRONMENT.model_copy(update={**device, **changes.pop("environment", {})}),
    }
    return MEASURED.model_copy(update={**figures, **changes})


def band(measurement: Measurement, model: ModelSpec = AWS) -> Check:
    check = sanity_check(model, measurement)
    assert check is not None
    assert check.name == "published_band"
    return check


def test_a_result_within_the_published_range_says_what_was_published() -> None:
    check = band(measured(2700.0, 5.9))
    assert check.passed
    assert check.figure == 0
    assert "AWS published 2,646.1 to 2,919.8 inf/s" in check.advice
    assert "2,700.0 inf/s is within" in check.advice
    assert (
        "SDK 2.26.0, the nearest there, has 2,646.1 inf/s and a P50 of 6.02 ms: this is +2.0%" in check.advice
    )


def test_a_result_somewhat_outside_is_told_and_one_far_outside_fails() -> None:
    slow = band(measured(2646.13161224 * 0.85, 6.01577759 / 0.85))
    assert slow.passed
    assert slow.figure == pytest.approx(0.176, abs=0.001)
    assert "15.0% outside" in slow.advice
    assert "P50 of 7.08 ms is 17.6% outside" in slow.advice
    half = band(measured(1340.0, 5.96))  # one core of two
    assert not half.passed
    assert half.figure == pytest.approx(1 - 1340.0 / 2646.13161224)
    assert "another program, another load or a disturbed host" in half.advice
    assert not band(measured(2700.0, 59.0)).passed
    assert band(measured(2700.0, None)).passed


@pytest.mark.parametrize(
    ("sdk", "nearest"), [("2.27.0", "2.27.0"), ("2.31.0", "2.27.0"), ("2.24.0", "2.23.0"), (None, "2.27.0")]
)
def test_the_nearest_release_is_named(sdk: str | None, nearest: str) -> None:
    assert f"SDK {nearest}, the nearest there" in band(measured(2700.0, 5.9, sdk=sdk)).advice


@pytest.mark.parametrize(
    "name", ["bert-base-uncased", "google-bert/bert-base-uncased", "config:bert-base-uncased"]
)
def test_the_same_network_has_several_names(name: str) -> None:
    assert band(measured(2000.0, 1.0, batch_size=1), AWS.model_copy(update={"name": name})).passed


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"hardware": False}},
        {"environment": STANDIN},
        {"environment": {"instance_type": "stand-in inf2.xlarge"}},
        {"environment": {"instance_type": "inf2.24xlarge"}},
        {"backend": "cpu"},
        {"batch_size": 3},
        {"precision": "fp32"},
        {"replicas": 1},
        {"workers": 4},
        {"scenario": "server"},
    ],
)  # fmt: skip
def test_no_other_result_is_held_against_it(changes: dict[str, Any]) -> None:
    assert sanity_check(AWS, measured(2700.0, 5.9)) is not None
    assert sanity_check(AWS, measured(2700.0, 5.9, **changes)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "classification"},
        {"inputs": "text"},
        {"sequence_length": 64},
        {"name": "bert-base-cased-finetuned-mrpc"},
        {"name": "/models/bert-base-uncased"},
        {"name": "config:bert-tiny"},
    ],
)
def test_no_other_network_is_held_against_it(changes: dict[str, Any]) -> None:
    assert sanity_check(AWS.model_copy(update=changes), measured(2700.0, 5.9)) is None


def test_the_published_figures_agree_with_themselves_and_among_each_other() -> None:
    """Two busy workers by Little's law, and none of them near what would fail a result."""
    series: dict[tuple[str, int], list[float]] = {}
    for row in published_figures():
        assert row.throughput_inf_per_s * row.p50_ms / 1e3 / row.batch_size == pytest.approx(2, rel=0.1)
        assert (row.instance_type, row.source_file[-4:]) == ("inf2.xlarge", ".csv")
        series.setdefault((row.model, row.batch_size), []).append(row.throughput_inf_per_s)
    assert {("bert-base-uncased", 1), ("bert-base-uncased", 8)} <= set(series)
    gaps = [b / a - 1 for found in series.values() for a, b in pairwise(sorted(found))]
    assert max(gaps) < FAR / 2

"""Sweeps declared in a file: a bad entry is named and stops no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchlib.orchestration.declarations import NIGHTLY, deployed_sweeps, read_declarations
from benchlib.orchestration.names import DAG_ID


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sweeps.yaml"
    path.write_text(text)
    return path


def test_an_entry_is_a_dag_with_defaults_for_its_form(tmp_path: Path) -> None:
    found = read_declarations(
        write(
            tmp_path,
            """
            sweeps:
              - {name: bert_base, model: bert-base-uncased, batch_sizes: 1-3, queue: inf2_24xlarge, rounds: 5}
              - {name: tiny, model: "config:bert-tiny", batch_sizes: [8], schedule: null}
            """,
        )
    )
    assert found.errors == ()
    base, tiny = found.sweeps
    assert (base.name, base.queue, base.pool, base.schedule) == (
        "bert_base", "inf2_24xlarge", "inf2_host", NIGHTLY,
    )  # fmt: skip
    assert (base.params["model"], base.params["batch_sizes"], base.params["rounds"]) == (
        "bert-base-uncased", [1, 2, 3], 5,
    )  # fmt: skip
    assert (tiny.schedule, tiny.params["batch_sizes"]) == (None, [8])


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{name: bad, model: m, batch_sizes: [0]}", "(bad): batch_sizes: 0 is not allowed"),
        ("{name: bad, model: m, batch_sizes: [1], sequence_length: 4}", "(bad): sequence_length: 4 is not"),
        (
            "{name: bad, model: m, batch_sizes: [1], batchsize: 4}",
            "(bad): parameter: 'batchsize' is not allowed",
        ),
        ("{name: Bad Name, model: m, batch_sizes: [1]}", "(Bad Name): name: 'Bad Name' is not allowed"),
        (
            "{name: good, model: m, batch_sizes: [1]}",
            "(good): name: 'good' is not allowed; allowed: a name that no",
        ),
        ("{name: bad, model: m, batch_sizes: [1], schedule: nightly}", "schedule: 'nightly' is not allowed"),
        (
            "{name: bad, model: m, batch_sizes: [1], schedule: 61 * * * *}",
            "schedule: '61 * * * *' is not allowed",
        ),
        (
            '{name: bad, model: m, batch_sizes: [1], schedule: "0 0 30 2 *"}',
            "schedule: '0 0 30 2 *' is not allowed",
        ),
        ("{model: m, batch_sizes: [1]}", "(without a name): name: "),
        ("{name: bad, batch_sizes: [1]}", "(bad): model"),
        ("just text", "(not a mapping): entry: 'just text' is not allowed"),
    ],
)
def test_a_bad_entry_is_named_with_its_field_and_the_others_stay(
    tmp_path: Path, entry: str, complaint: str
) -> None:
    found = read_declarations(
        write(
            tmp_path,
            f"""
            sweeps:
              - {{name: good, model: m, batch_sizes: [1]}}
              - {entry}
              - {{name: last, model: m, batch_sizes: [1]}}
            """,
        )
    )
    assert [sweep.name for sweep in found.sweeps] == ["good", "last"]
    (error,) = found.errors
    assert error.startswith("sweeps.yaml, entry 2 ")
    assert complaint in error
    assert "\n" not in error


@pytest.mark.parametrize("text", ["", "[]", "sweeps: {}", "sweeps: []\nother: 1", "sweeps: [", "\x00"])
def test_a_file_that_is_no_list_of_sweeps_is_one_error(tmp_path: Path, text: str) -> None:
    found = read_declarations(write(tmp_path, text))
    assert found.sweeps == ()
    assert len(found.errors) == 1
    assert found.errors[0].startswith("sweeps.yaml: ")


def test_no_file_declares_nothing(tmp_path: Path) -> None:
    found = read_declarations(tmp_path / "none.yaml")
    assert (found.sweeps, found.errors) == ((), ())


def test_an_entry_has_the_channels_of_the_file_or_its_own(tmp_path: Path) -> None:
    found = read_declarations(
        write(
            tmp_path,
            """
            notify: ["smtp:mail:a@x,b@x", "apprise:teams"]
            sweeps:
              - {name: like_all, model: m, batch_sizes: [1]}
              - {name: own, model: m, batch_sizes: [1], notify: ["slack:chat:#perf"]}
              - {name: silent, model: m, batch_sizes: [1], notify: []}
            """,
        )
    )
    assert found.errors == ()
    told = {
        name: list(map(str, found.notify_for(name)))
        for name in ("like_all", "own", "silent", "nightly_watch")
    }
    everybody = ["smtp:mail:a@x,b@x", "apprise:teams"]
    assert told == {
        "like_all": everybody,
        "own": ["slack:chat:#perf"],
        "silent": [],
        "nightly_watch": everybody,
    }


def test_a_bad_channel_is_named_and_the_good_ones_stay(tmp_path: Path) -> None:
    found = read_declarations(write(tmp_path, 'notify: ["fax:1", "apprise:teams", {a: b}]'))
    assert list(map(str, found.notify)) == ["apprise:teams"]
    first, second = found.errors
    assert first.startswith(
        "sweeps.yaml: notify: 'fax:1' is not allowed; allowed: smtp:CONNECTION_ID:ADDRESS"
    )
    assert second.startswith("sweeps.yaml: notify: {'a': 'b'} is not allowed")


@pytest.mark.parametrize("notify", ["apprise:teams", "7", "[fax]", "{a: b}"])
def test_an_entry_with_bad_channels_is_named_with_the_field(tmp_path: Path, notify: str) -> None:
    entry = f"{{name: bad, model: m, batch_sizes: [1], notify: {notify}}}"
    (error,) = read_declarations(write(tmp_path, f"sweeps:\n  - {entry}\n")).errors
    assert error.startswith("sweeps.yaml, entry 1 (bad): notify: ")
    assert "\n" not in error


def test_the_deployment_has_the_form_s_sweep_first(tmp_path: Path) -> None:
    write(tmp_path, "sweeps: [{name: tiny, model: m, batch_sizes: [1]}]")
    found = deployed_sweeps(tmp_path, backend="neuron")
    assert [(sweep.name, sweep.params["backend"]) for sweep in found.sweeps] == [
        (DAG_ID, "neuron"),
        ("tiny", "neuron"),
    ]


def test_an_entry_may_give_the_form_s_dag_its_schedule_and_defaults(tmp_path: Path) -> None:
    write(tmp_path, f"sweeps: [{{name: tiny, model: m}}, {{name: {DAG_ID}, schedule: null, rounds: 9}}]")
    found = deployed_sweeps(tmp_path, backend="cpu")
    assert found.errors == ()
    form, tiny = found.sweeps
    assert (form.name, form.schedule, form.params["rounds"]) == (DAG_ID, None, 9)
    assert (form.params["model"], tiny.name) == ("bert-base-uncased", "tiny")

"""The stored history is judged: what changed is one incident, noise is none, judging again changes no row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from benchlib.errors import BadInput
from benchlib.orchestration import judging
from benchlib.orchestration.judging import Asked, Outcome, explain_incident, judge, mark_as_told
from benchlib.records import CompilationRecord
from benchlib.results import ArtifactRef, CompileResult
from benchlib.store import detection
from benchlib.store.incidents import (
    Chosen,
    IncidentLine,
    list_incident_changes,
    list_incidents,
    list_night_events,
)
from benchlib.store.judgements import Remark, SweepRange, judge_incidents, pin, unpin
from benchlib.store.mutes import mute, unmute
from benchlib.store.repository import Repository
from tests.orchestration.conftest import wait_until
from tests.store import fleet, nights, samples
from tests.store.nights import Nights, losing, night_of

ANA = Remark(author="Ana", reason="The new compiler spills.")
ALL = Chosen(statuses=None, with_muted=True)
BAD = 30
"""The night of the upgrade."""

TABLES = ("incident", "change", "annotation", "night_event")


def upgraded(night: int) -> Any:
    return fleet.OLD if night < BAD else fleet.NEW


def night_by_night(engine: Engine, last: int, first: int = BAD - 1) -> list[Outcome]:
    """As the nightly task does it: each night as if it were the newest."""
    return [judge(engine, Asked(last=night_of(night))) for night in range(first, last + 1)]


def rows(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY 1"))]
            for name in TABLES
        }


def only(engine: Engine, chosen: Chosen = ALL) -> IncidentLine:
    (incident,) = list_incidents(engine, chosen)
    return incident


def test_a_loss_of_3_percent_is_one_confirmed_incident_by_the_third_night(engine: Engine) -> None:
    Nights(BAD + 3, losing(0.03, BAD), environment=upgraded).fill(engine)
    night_by_night(engine, BAD + 2)
    incident = only(engine)
    assert (incident.status, incident.direction, incident.metric) == (
        "confirmed",
        "worse",
        "throughput_inf_per_s",
    )
    assert incident.relative_change == pytest.approx(-0.03, abs=0.005)
    assert (incident.last_good_night, incident.first_bad_night) == (night_of(BAD - 1), night_of(BAD))
    assert "neuron_sdk 2.25.0 -> 2.26.0" in incident.environment_changes
    assert (incident.agreed, incident.hardware) == (True, True)
    words = explain_incident(engine, incident)
    assert words.headline.startswith("bert-base-uncased on inf2.xlarge: throughput -2.")
    assert "Throughput and median latency moved together" in " ".join(words.sentences)
    assert any("neuronx_cc 2.20.9961 -> 2.21.18209" in each for each in words.sentences)


def test_sixty_nights_without_a_change_raise_nothing(engine: Engine) -> None:
    Nights(60).fill(engine)
    assert judge(engine, Asked()).moved == ()
    assert [judge(engine, Asked(last=night_of(night))).moved for night in (20, 40, 59)] == [()] * 3
    assert list_incidents(engine, ALL) == ()


def test_judging_again_changes_no_row_and_a_dry_run_writes_none(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.03, BAD), missing=lambda night, size: (night, size) == (BAD + 4, 2)).fill(engine)
    assert judge(engine, Asked(dry_run=True)).rows > 0
    assert rows(engine) == {name: [] for name in TABLES}
    judge(engine, Asked())
    before = rows(engine)
    assert len(before["incident"]) == 1
    assert judge(engine, Asked()).rows == 0
    assert judge(engine, Asked(first=night_of(BAD))).rows == 0
    assert rows(engine) == before


def test_other_thresholds_are_named_in_what_they_find(engine: Engine) -> None:
    Nights(BAD + 8, losing(0.03, BAD)).fill(engine)
    judge(engine, Asked(thresholds="1-strict"))
    shifts = list_incident_changes(engine, only(engine).incident_id)
    assert {each.detector for each in shifts} == {"scan 1-strict"}
    single = [each for each in shifts if each.batch_size is not None]
    assert {each.evidence["limit"] for each in single} == {6.0}
    with pytest.raises(BadInput, match="thresholds: 'best' is not allowed"):
        judge(engine, Asked(thresholds="best"))


def test_a_muted_loss_is_silent_and_is_heard_when_the_mute_expires(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.03, BAD)).fill(engine)
    number = mute(engine, "bert-?ase*", datetime.now(UTC) + timedelta(days=7), ANA)
    judge(engine, Asked())
    assert list_incidents(engine) == ()
    assert only(engine).muted_until is not None
    with engine.begin() as connection:
        expired = "UPDATE mute SET set_at = now() - interval '2 days', expires_at = now() - interval '1 s'"
        connection.execute(text(expired))
    assert only(engine, Chosen()).status == "confirmed"
    assert unmute(engine, number, ANA) is False


def test_a_mute_of_one_metric_or_series_leaves_the_rest_to_be_heard(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.03, BAD)).fill(engine)
    judge(engine, Asked())
    soon = datetime.now(UTC) + timedelta(days=1)
    mute(engine, "bert*", soon, ANA, metric="throughput_inf_per_s")
    mute(engine, "bert_base*", soon, ANA)  # an underscore is no wildcard
    assert only(engine, Chosen()).muted_until is None
    both = [mute(engine, "bert*", soon, ANA, metric=metric) for metric in ("p50_ms", "p90_ms", "p99_ms")]
    assert list_incidents(engine) == ()
    assert unmute(engine, both[0], ANA) is True
    assert only(engine, Chosen()).status == "confirmed"


def test_a_pinned_baseline_takes_the_step_of_an_upgrade_for_granted(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.03, BAD), environment=upgraded).fill(engine)
    accepted = nights.sweep(BAD).sweep_id
    pin(engine, SweepRange(accepted, accepted), (), ANA)
    assert judge(engine, Asked()).moved == ()
    # A later pin takes the place of this one; the upgrade stays accepted.
    later = nights.sweep(BAD + 3).sweep_id
    pin(engine, SweepRange(later, later), (), ANA)
    assert judge(engine, Asked()).moved == ()
    unpin(engine, later, (), ANA)
    assert judge(engine, Asked()).moved == ()


def test_a_pin_that_was_withdrawn_is_no_epoch(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.03, BAD), environment=upgraded).fill(engine)
    accepted = nights.sweep(BAD).sweep_id
    pin(engine, SweepRange(accepted, accepted), (), ANA)
    unpin(engine, accepted, (), ANA)
    judge(engine, Asked())
    assert only(engine).status == "confirmed"


def test_a_batch_size_that_is_missing_or_failed_is_an_event_of_its_own(engine: Engine) -> None:
    absent = {(27, 2), (28, 4)}
    Nights(30, missing=lambda night, size: (night, size) in absent or night == 29).fill(engine)
    repository = Repository(engine)
    repository.record(fleet.attempt(nights.sweep(28), 4, failure=samples.failure("Core 1 crashed.")))
    noisy = nights.measurement(nights.sweep(29), 1, 500.0)
    assert noisy.result is not None
    spoilt = noisy.result.model_copy(update={"checks": (samples.NOISY,)})
    repository.record(noisy.model_copy(update={"result": spoilt}))
    judge(engine, Asked(last=night_of(29)))
    events = list_night_events(engine, night_of(27), night_of(29))
    assert [(each.night, each.kind, each.batch_size) for each in events] == [
        (night_of(29), "failed", 2),
        (night_of(29), "failed", 4),
        (night_of(29), "insufficient_data", 1),
        (night_of(28), "failed", 4),
        (night_of(27), "failed", 2),
    ]
    assert events[3].evidence == {"reason": "Core 1 crashed."}


def test_a_series_without_any_sweep_is_missing_until_it_counts_as_given_up(engine: Engine) -> None:
    Nights(20).fill(engine)
    other = nights.sweep(50, run_id="another", backend="cpu")
    Repository(engine).record(fleet.attempt(other, 1, result=fleet.measured(other, 1, 9.0, 300.0)))
    judge(engine, Asked(last=night_of(21)))
    (kind,) = {each.kind for each in list_night_events(engine, night_of(20), night_of(21))}
    assert kind == "missing"
    judge(engine, Asked())
    assert list_night_events(engine, night_of(40), night_of(50)) == ()


@pytest.mark.parametrize(
    ("changes", "direction", "metrics"),
    [
        ({"factor": losing(-0.05, BAD)}, "better", {"throughput_inf_per_s", "p50_ms"}),
        ({"factor": losing(0.05, BAD)}, "worse", {"throughput_inf_per_s", "p50_ms"}),
        ({"p99_factor": lambda night, size: 1.2 if night >= BAD else 1.0}, "worse", {"p99_ms"}),
        ({"p99_factor": lambda night, size: 0.9 if night >= BAD else 1.0}, "better", {"p99_ms"}),
    ],
)
def test_more_is_better_of_throughput_and_worse_of_latency(
    engine: Engine, changes: dict[str, Any], direction: str, metrics: set[str]
) -> None:
    Nights(BAD + 8, **changes).fill(engine)
    judge(engine, Asked())
    incident = only(engine)
    assert incident.direction == direction
    assert metrics <= set(incident.metrics)
    if metrics == {"p99_ms"}:
        words = explain_incident(engine, incident)
        assert "Only the tail of the latency moved" in " ".join(words.sentences)
        assert "; no change told of throughput" in words.scope


def test_two_steps_are_two_incidents(engine: Engine) -> None:
    def twice(night: int, size: int) -> float:
        return losing(0.03, BAD)(night, size) * losing(0.04, BAD + 20)(night, size)

    Nights(BAD + 40, twice).fill(engine)
    judge(engine, Asked())
    found = list_incidents(engine, ALL)
    assert {each.first_bad_night for each in found} == {night_of(BAD), night_of(BAD + 20)}
    assert {each.status for each in found} == {"confirmed"}


def test_a_level_that_comes_back_ends_the_incident_and_one_that_goes_again_reopens_it(engine: Engine) -> None:
    def on_and_off(night: int, size: int) -> float:
        return losing(0.05, BAD, BAD + 15)(night, size) * losing(0.05, BAD + 32)(night, size)

    Nights(BAD + 42, on_and_off).fill(engine)
    judge(engine, Asked(last=night_of(BAD + 5)))
    assert only(engine).status == "confirmed"
    judge(engine, Asked(last=night_of(BAD + 24)))
    over = only(engine)
    assert (over.status, list_incidents(engine)) == ("recovered", ())
    assert f"It went back on {night_of(BAD + 15)}" in " ".join(explain_incident(engine, over).sentences)
    judge(engine, Asked())
    assert only(engine).status == "reopened"
    assert only(engine).first_bad_night == night_of(BAD)


def test_what_a_person_settled_stays_so_until_the_loss_is_back(engine: Engine) -> None:
    Nights(BAD + 10, losing(0.05, BAD)).fill(engine)
    judge(engine, Asked())
    number = only(engine).incident_id
    judge_incidents(engine, [number], "fixed", ANA)
    Nights(20, losing(0.0, 0), first=BAD + 10, seed=2).fill(engine)
    judge(engine, Asked())
    assert (only(engine).status, only(engine).author) == ("fixed", "Ana")
    Nights(10, losing(0.05, 0), first=BAD + 30, seed=3).fill(engine)
    judge(engine, Asked())
    assert (only(engine).incident_id, only(engine).status) == (number, "reopened")
    judge_incidents(engine, [number], "expected", ANA)
    judge(engine, Asked())
    assert only(engine).status == "expected"


def test_one_night_far_off_is_a_suspect_and_then_an_outlier(engine: Engine) -> None:
    Nights(BAD + 3, losing(0.1, BAD, BAD + 1)).fill(engine)
    judge(engine, Asked(last=night_of(BAD)))
    assert (only(engine).status, only(engine).batch_sizes) == ("suspect", (1, 2, 4))
    judge(engine, Asked(last=night_of(BAD + 1)))
    incident = only(engine)
    assert incident.status == "recovered"
    assert incident.reason is not None
    assert "an outlier" in incident.reason
    kinds = {each.kind for each in list_night_events(engine, night_of(BAD), night_of(BAD))}
    assert kinds == {"outlier"}


def test_the_same_program_points_at_the_host_and_another_one_is_said_to_be_new(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.05, BAD)).fill(engine)
    judge(engine, Asked())
    repository = Repository(engine)

    def compiled(night: int, key: str) -> CompilationRecord:
        program = ArtifactRef(key=key * 64, filename="m.pt", sha256="b" * 64, size_bytes=9)
        result = CompileResult(
            batch_size=1,
            backend="neuron",
            precision="bf16",
            artifact=program,
            cache_hit=True,
            compile_duration_s=9.0,
            environment=fleet.OLD,
        )
        at = nights.sweep(night).created_at
        return CompilationRecord(sweep=nights.sweep(night), batch_size=1, result=result, recorded_at=at)

    repository.record(compiled(BAD - 1, "a"))
    repository.record(compiled(BAD, "a"))
    same = " ".join(explain_incident(engine, only(engine)).sentences)
    assert "It is the same program, bit by bit: look at the host, the driver or the runtime." in same
    assert "nothing that is recorded of the environment differs" in same
    later = compiled(BAD, "c")
    repository.record(later.model_copy(update={"recorded_at": later.recorded_at + timedelta(hours=1)}))
    assert "compiled anew" in " ".join(explain_incident(engine, only(engine)).sentences)


def test_figures_of_a_stand_in_are_judged_and_never_pass_for_inf2(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.05, BAD), environment=lambda night: fleet.CPU).fill(engine)
    judge(engine, Asked())
    incident = only(engine)
    assert incident.hardware is False
    words = explain_incident(engine, incident)
    assert words.headline.startswith("bert-base-uncased on neuron (not inf2)")
    assert words.sentences[0] == "These are figures of a CPU or a stand-in: not inf2 results."


def test_a_slow_drift_is_a_note_for_the_week_and_no_incident(engine: Engine) -> None:
    Nights(105, lambda night, size: 1 - 0.0004 * night).fill(engine)
    judge(engine, Asked())
    notes = list_night_events(engine, night_of(91), night_of(104), kinds=("trend",))
    assert {each.night.isoweekday() for each in notes} == {1}
    assert {each.batch_size for each in notes} == {None}
    slower = [each for each in notes if each.metric == "throughput_inf_per_s"]
    assert slower[0].evidence["relative_change"] == pytest.approx(-0.029, abs=0.008)


def test_who_judges_by_hand_has_seen_it(engine: Engine) -> None:
    Nights(BAD + 6, losing(0.05, BAD)).fill(engine)
    outcome = judge(engine, Asked())
    mark_as_told(engine, outcome.moved, "bench judge")
    with engine.connect() as connection:
        told = connection.execute(text("SELECT subject, told_to FROM notice")).all()
    (moved,) = outcome.moved
    assert [tuple(each) for each in told] == [
        (f"incident {moved.incident_id} confirmed {moved.annotation_id}", ["bench judge"])
    ]


@pytest.mark.parametrize("bad_nights", [4, 8])
def test_a_loss_put_right_within_days_is_over(engine: Engine, bad_nights: int) -> None:
    Nights(BAD + 16, losing(0.1, BAD, BAD + bad_nights)).fill(engine)
    night_by_night(engine, BAD + bad_nights - 1, first=BAD + bad_nights - 1)
    assert only(engine).status == "confirmed"
    night_by_night(engine, BAD + bad_nights + 4, first=BAD + bad_nights)
    over = only(engine)
    assert (over.status, over.first_bad_night) == ("recovered", night_of(BAD))
    assert f"since {night_of(BAD + bad_nights)}" in (over.reason or "")
    words = explain_incident(engine, over)
    assert any("(limit 2.5)" in each and "way back 1" in each for each in words.evidence)
    assert judge(engine, Asked()).moved == ()


def test_judging_an_older_night_undoes_nothing(engine: Engine) -> None:
    Nights(BAD + 10, losing(0.1, BAD)).fill(engine)
    night_by_night(engine, BAD + 9, first=BAD)
    before = rows(engine)
    assert judge(engine, Asked(last=night_of(BAD))).rows == 0
    assert judge(engine, Asked(last=night_of(BAD + 3))).rows == 0
    assert judge(engine, Asked(last=night_of(BAD - 5))).rows == 0
    assert rows(engine) == before
    assert judge(engine, Asked()).moved == ()


def test_a_night_far_off_stays_open_until_it_is_known_whether_it_lasts(engine: Engine) -> None:
    Nights(BAD + 1, losing(0.1, BAD)).fill(engine)
    judge(engine, Asked())
    assert judge(engine, Asked(last=night_of(BAD - 10))).moved == ()
    assert judge(engine, Asked(first=night_of(BAD + 1), last=night_of(BAD + 1))).moved == ()
    assert only(engine).status == "suspect"
    Nights(1, first=BAD + 1).fill(engine)
    judge(engine, Asked(first=night_of(BAD + 1)))
    assert only(engine).status == "recovered"


def test_what_was_written_while_it_waited_is_judged(engine: Engine) -> None:
    """Two sweeps of a model end at once: whoever comes second sees what the first one did."""
    whole = Nights(BAD + 4, losing(0.1, BAD), missing=lambda night, size: (night >= BAD + 2) and size > 1)
    whole.fill(engine)
    late = [Nights(BAD + 4, losing(0.1, BAD), missing=lambda night, size: night < BAD + 2 or size == 1)]

    @event.listens_for(engine, "before_cursor_execute")
    def meanwhile(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "pg_advisory_xact_lock" in statement and late:
            late.pop().fill(engine)

    judge(engine, Asked())
    shifts = list_incident_changes(engine, only(engine).incident_id)
    nights_told = {each.batch_size: each.evidence.get("tested_nights") for each in shifts if each.batch_size}
    assert set(nights_told) == {1, 2, 4}
    assert None not in nights_told.values()  # which is what one night alone has


def refusing(engine: Engine, configuration_id: Any) -> None:
    """The database refuses every shift of a configuration."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE 'not this one' USING ERRCODE = 'check_violation'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER refuse BEFORE INSERT ON change FOR EACH ROW "
                f"WHEN (NEW.configuration_id = '{configuration_id}') EXECUTE FUNCTION refuse()"
            )
        )


def test_one_configuration_that_cannot_be_judged_keeps_no_other_from_it(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Nights(BAD + 5, losing(0.1, BAD)).fill(engine)
    others = [nights.sweep(night, run_id=f"cpu-{night}") for night in range(BAD + 5)]
    Repository(engine).record_all(
        [nights.measurement(each, 1, 500.0, environment=fleet.CPU) for each in others]
    )
    with detection.judging(engine) as connection:
        (real,) = [each for each in detection.configurations(connection) if each.hardware]
    refusing(engine, real.configuration_id)
    outcome = judge(engine, Asked())
    assert [each.configuration.hardware for each in outcome.judged] == [False]
    (refused,) = outcome.refused
    assert (refused.configuration, "not this one" in str(refused)) == (real, True)
    assert rows(engine)["incident"] == []
    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    assert judging.judge_sweep(nights.sweep(BAD + 4)).extra()["not_judged"] == [str(refused)]


def test_a_night_that_is_not_over_misses_nothing(engine: Engine) -> None:
    now = datetime.now(UTC)
    own = [nights.sweep(n, run_id=f"n-{n}", created_at=now - timedelta(days=n)) for n in range(2, 8)]
    Repository(engine).record_all([nights.measurement(each, 1, 500.0) for each in own])
    other = nights.sweep(50, run_id="another", backend="cpu", created_at=now)
    Repository(engine).record(fleet.attempt(other, 1, result=fleet.measured(other, 1, 9.0, 300.0)))
    judge(engine, Asked())
    events = list_night_events(engine, now.date() - timedelta(days=2), now.date())
    assert {(each.kind, each.night) for each in events} == {("missing", now.date() - timedelta(days=1))}


def test_a_night_measures_three_batch_sizes_again_and_none_twice(engine: Engine) -> None:
    Nights(BAD + 1, losing(0.1, BAD)).fill(engine)
    first = nights.sweep(BAD)
    again = nights.sweep(BAD, run_id="again", created_at=first.created_at + timedelta(hours=3))
    Repository(engine).record_all(
        [nights.measurement(again, size, level * 0.9) for size, level in nights.LEVELS.items()]
    )
    assert judging._suspicious(engine, again) == []
    assert sorted(judging._suspicious(engine, first)) == [1, 2, 4]
    assert sorted(judging._suspicious(engine, first)) == [1, 2, 4]
    with detection.judging(engine) as connection:
        assert detection.confirmations(connection, again.sweep_id, again.night) == 3
        # Three batch sizes, each with throughput, P50, P90 and P99.
        assert judging._rules(connection, "1", again.night).series_count == 12


WAITING = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def test_a_sweep_that_ends_while_another_decides_counts_what_that_one_takes(engine: Engine) -> None:
    Nights(BAD + 1, losing(0.1, BAD)).fill(engine)
    first, other = nights.sweep(BAD), nights.sweep(BAD, run_id="of another configuration")
    Repository(engine).record(nights.measurement(other, 1, 500.0, environment=fleet.CPU))

    def waits() -> bool:
        with engine.connect() as connection:
            return connection.execute(text(WAITING)).first() is not None

    with ThreadPoolExecutor(1) as pool:
        with detection.judging(engine) as connection:
            assert detection.confirmations(connection, other.sweep_id, other.night) == 0
            found = pool.submit(judging._suspicious, engine, first)
            wait_until(waits)
            taken = [judging.confirming(other, size) for size in (1, 2)]
            detection.plan_confirmations(connection, taken)
        assert len(found.result()) == judging.MOST_CONFIRMED - len(taken)

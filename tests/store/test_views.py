"""What the views promise, on the small fleet and on what can go wrong around it."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.analysis.peak import find_peak
from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord
from benchlib.results import Environment, Measurement
from benchlib.spec import LoadSpec, ModelSpec
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.repository import Repository
from benchmarks.store_scale import PAGES
from tests.conftest import new_database
from tests.store import fleet, judgements, samples, sql_docs


def ask(engine: Engine, question: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(question), values)]


def store(engine: Engine, *records: SweepRecord | CompilationRecord | MeasurementRecord) -> None:
    for record in records:
        Repository(engine).record(record)


# The schema and its documentation.


def test_the_documentation_says_what_the_database_says(engine: Engine) -> None:
    document = sql_docs.DOCUMENT.read_text()
    assert document == sql_docs.with_sections(document, engine), "run `python -m tests.store.sql_docs`"


def test_the_documented_examples_run(small_fleet: Engine) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", sql_docs.DOCUMENT.read_text(), re.DOTALL)
    statements = [each for block in blocks for each in block.split(";\n\n") if "…" not in each]
    assert len(statements) >= 2
    for statement in statements:
        with small_fleet.connect() as connection:
            connection.execute(text(statement.replace("(17,", "(1,")))


def test_every_column_of_every_view_says_what_it_is(engine: Engine) -> None:
    silent = ask(
        engine,
        "SELECT view.relname, attribute.attname FROM pg_class AS view "
        "JOIN pg_attribute AS attribute ON attribute.attrelid = view.oid AND attribute.attnum > 0 "
        "WHERE view.relnamespace = 'public'::regnamespace AND view.relkind = 'v' "
        "AND col_description(view.oid, attribute.attnum) IS NULL",
    )
    assert silent == []


def test_every_view_and_function_says_what_it_is(engine: Engine) -> None:
    silent = ask(
        engine,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' "
        "AND obj_description(oid) IS NULL "
        "UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "AND obj_description(oid, 'pg_proc') IS NULL",
    )
    assert silent == []


@pytest.mark.parametrize(
    "view",
    ["peak", "throughput_history", "latency_history", "sdk_comparison", "cost", "current_baseline"],
)
def test_whatever_ranks_or_averages_knows_valid_measurements_only(engine: Engine, view: str) -> None:
    read = ask(
        engine,
        "SELECT DISTINCT depend.refobjid::regclass::text FROM pg_rewrite AS rule "
        "JOIN pg_depend AS depend ON depend.objid = rule.oid AND depend.refclassid = 'pg_class'::regclass "
        "WHERE rule.ev_class = CAST(:view AS regclass)",
        view=view,
    )
    assert ("valid_measurement",) in read
    assert ("measurement",) not in read


@pytest.mark.parametrize("page", PAGES)
def test_no_page_needs_to_read_all_measurements(small_fleet: Engine, page: str) -> None:
    subject = {
        "sweep": fleet.wide(0).sweep_id,
        "series": uuid.uuid4(),
        "model": fleet.BERT,
        "newest": fleet.UNTIL,
        "environment": uuid.uuid4(),
        "other_environment": uuid.uuid4(),
    }
    with small_fleet.connect() as connection:
        # So small a table is always cheapest to read whole: forbidden, what is left to choose shows.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        cursor = connection.connection.cursor()
        cursor.execute(f"EXPLAIN {PAGES[page]}", subject)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on measurement" not in plan
    assert "Seq Scan on round" not in plan


# Series and nights.


@pytest.fixture(scope="module")
def scratch(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A database for tests that do not mind each other's rows."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


KEYS: list[dict[str, Any]] = [
    {"model": ModelSpec(name="bert-large-uncased")},
    {"model": ModelSpec(name="bert-base-uncased", revision="v2")},
    {"model": ModelSpec(name="bert-base-uncased", sequence_length=64)},
    {"compiler_args": ("--auto-cast", "matmult")},
    {"compiler_args": ("--auto-cast matmult",)},
    {"precision": "bf16"},
    {"batch_size": 2},
    {"replicas": 6},
    {"workers": 24},
    {"worker_mode": "process"},
    {"worker_mode": "native"},
    {"model": ModelSpec(name="bert-base-uncased", head="encoder")},
    {"model": ModelSpec(name="bert-base-uncased", inputs="zeros_int32")},
    {"backend": "neuron"},
    {"environment": samples.HOST.model_copy(update={"instance_type": "inf2.xlarge"})},
    {"environment": samples.HOST.model_copy(update={"hardware": True})},
]


def place(engine: Engine, run: str, **changes: Any) -> uuid.UUID:
    """The series of a measurement that differs in these points from `samples`."""
    asked = {name: changes.pop(name) for name in ("model", "compiler_args") if name in changes}
    spec = samples.sweep().spec.model_copy(update=asked)
    sweep = samples.sweep(run, spec=spec)
    batch_size, mode = changes.pop("batch_size", 1), changes.pop("worker_mode", "thread")
    result = samples.measured(batch_size, **changes).model_copy(update={"worker_mode": mode})
    store(engine, samples.measurement(batch_size, sweep=sweep, result=result))
    with engine.connect() as connection:
        return judgements.series_of(connection, sweep.sweep_id, batch_size)


@pytest.mark.parametrize("difference", KEYS, ids=str)
def test_what_may_not_be_compared_is_another_series(scratch: Engine, difference: dict[str, Any]) -> None:
    assert place(scratch, str(difference), **difference) != place(scratch, "run-1")


@pytest.mark.parametrize(
    "difference",
    [
        {"environment": samples.HOST.model_copy(update={"torch": "2.14.0", "host": "host-b"})},
        {"throughput_inf_per_s": 1.0},
        {"started_at": samples.NOON + timedelta(days=1)},
    ],
    ids=str,
)
def test_software_hosts_and_time_are_what_changes_along_a_series(
    scratch: Engine, difference: dict[str, Any]
) -> None:
    assert place(scratch, str(difference), **difference) == place(scratch, "run-1")


def test_a_series_has_the_same_id_in_every_database(scratch: Engine) -> None:
    key = "(bert-base-uncased,,128,fp32,{},1,offline,12,12,thread,cpu,,f)"
    assert place(scratch, "run-1") == uuid.UUID(hashlib.sha256(key.encode()).hexdigest()[:32])


def arriving(engine: Engine, run: str, result: Measurement) -> uuid.UUID:
    """The series of a measurement of the scenario server."""
    store(engine, samples.server_measurement(run, result=result))
    with engine.connect() as connection:
        return judgements.series_of(connection, samples.asked_of_server(run).sweep_id)


@pytest.mark.parametrize(
    ("case", "one", "other", "same"),
    [
        ("rates", samples.served(500.0, trials=()), samples.served(500.5, trials=()), False),
        ("seeds", samples.served(trials=()), samples.served(trials=(), arrival_seed=8), True),
        ("limits of a rate", samples.served(trials=()), samples.served(trials=(), p99_limit_ms=None), True),
        ("rate and search", samples.served(trials=()), samples.served(), False),
        ("found rates", samples.served(500.0), samples.served(480.0), True),
        ("limits of a search", samples.served(), samples.served(p99_limit_ms=5.5), False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_given_rate_or_the_limit_of_a_search_makes_a_series(
    scratch: Engine, case: str, one: Measurement, other: Measurement, same: bool
) -> None:
    placed = [arriving(scratch, f"{case} {number}", result) for number, result in enumerate((one, other))]
    assert (placed[0] == placed[1]) is same


def test_a_series_says_what_arrived(engine: Engine) -> None:
    store(
        engine,
        samples.measurement(),
        samples.server_measurement("given", result=samples.served(1000 / 3, trials=())),
        samples.server_measurement("searched", result=samples.served(p99_limit_ms=0.25)),
    )
    found = "SELECT scenario, arrivals FROM series_list ORDER BY arrivals NULLS FIRST"
    assert ask(engine, found) == [
        ("offline", None),
        ("server", "rate 333.333333333333/s"),
        ("server", "search p99<=0.25ms"),
    ]


def test_a_series_of_arrivals_has_the_same_id_whatever_the_session_prints(engine: Engine) -> None:
    """Fewer digits of a number are a setting of the session."""
    key = '(bert-base-uncased,,128,fp32,{},1,server,12,12,native,cpu,,f,,"rate 333.333333333333/s")'
    short = create_engine(engine.url, connect_args={"options": "-c extra_float_digits=-10"})
    given = samples.served(1000 / 3, trials=())
    found = [arriving(each, run, given) for run, each in (("full", engine), ("short", short))]
    short.dispose()
    assert found == [uuid.UUID(hashlib.sha256(key.encode()).hexdigest()[:32])] * 2


def test_an_encoder_has_an_id_of_its_own(scratch: Engine) -> None:
    key = "(bert-base-uncased,,128,fp32,{},1,offline,12,12,thread,cpu,,f,encoder,)"
    placed = place(scratch, "encoder", model=ModelSpec(name="bert-base-uncased", head="encoder"))
    assert placed == uuid.UUID(hashlib.sha256(key.encode()).hexdigest()[:32])
    assert ask(scratch, "SELECT model_variant FROM series WHERE series_id = :id", id=placed) == [("encoder",)]


def test_a_failed_attempt_belongs_to_no_series_until_it_succeeds(engine: Engine) -> None:
    store(engine, samples.measurement(failure=samples.failure()))
    assert ask(engine, "SELECT series_id FROM measurement") == [(None,)]
    assert ask(engine, "SELECT * FROM series_list") == []
    store(engine, samples.measurement(recorded_at=samples.NOON + timedelta(hours=1)))
    assert len(ask(engine, "SELECT * FROM series_list")) == 1


def test_a_correction_moves_measurements_to_where_they_belong(engine: Engine) -> None:
    moved = place(engine, "run-1", environment=samples.HOST.model_copy(update={"hardware": True}))
    kept = place(engine, "run-2")
    with engine.begin() as connection:
        connection.execute(text("UPDATE environment SET hardware = false WHERE hardware"))
    assert ask(engine, "SELECT DISTINCT series_id FROM valid_measurement") == [(kept,)]
    with engine.begin() as connection:
        connection.execute(text("UPDATE sweep SET model = 'bert-large-uncased', created_at = '2020-02-02'"))
    ((corrected, model, night),) = ask(
        engine, "SELECT DISTINCT series_id, model, night FROM throughput_history"
    )
    assert (model, night) == ("bert-large-uncased", date(2020, 2, 2))
    assert corrected not in (moved, kept)


@pytest.mark.parametrize(
    ("hour", "offset_hours", "night"),
    [(23, 0, date(2026, 3, 1)), (23, -5, date(2026, 3, 2)), (1, 9, date(2026, 2, 28))],
)
def test_a_night_is_the_utc_date_on_which_the_sweep_began(
    engine: Engine, hour: int, offset_hours: int, night: date
) -> None:
    began = datetime(2026, 3, 1, hour, tzinfo=timezone(timedelta(hours=offset_hours)))
    store(engine, samples.measurement(sweep=samples.sweep(created_at=began)))
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL timezone = 'Pacific/Auckland'"))
        found = connection.execute(text("SELECT night FROM sweep UNION SELECT night FROM throughput_history"))
        assert [each for (each,) in found] == [night]


# The peak and the histories.


def test_the_peak_is_the_one_of_the_comparison_table(small_fleet: Engine) -> None:
    peaks = dict(ask(small_fleet, "SELECT sweep_id, batch_size FROM peak"))
    repository = Repository(small_fleet)
    sweeps = repository.sweeps(limit=100)
    assert len(sweeps) == 30
    for sweep in sweeps:
        found = find_peak(repository.comparison(sweep.sweep_id).rows)
        assert peaks.get(sweep.sweep_id) == (found and found.batch_size)


def test_an_invalid_measurement_is_never_the_peak_however_fast(small_fleet: Engine) -> None:
    sweep_id = fleet.wide(6).sweep_id
    fastest = (
        "SELECT batch_size FROM comparison_table WHERE sweep_id = :id ORDER BY throughput_inf_per_s DESC"
    )
    assert ask(small_fleet, fastest, id=sweep_id)[0] == (1,)
    assert ask(small_fleet, "SELECT batch_size FROM peak WHERE sweep_id = :id", id=sweep_id) == [(4,)]


def test_a_sweep_without_a_valid_measurement_has_no_peak(engine: Engine) -> None:
    doubtful = samples.measured(checks=(samples.NOISY,))
    store(engine, samples.measurement(result=doubtful), samples.measurement(2, failure=samples.failure()))
    assert ask(engine, "SELECT * FROM peak") == []


def test_of_equal_peaks_the_smaller_batch_size_counts(engine: Engine) -> None:
    for batch_size in (2, 1, 4):
        store(engine, samples.measurement(batch_size, result=samples.measured(batch_size, 1000.0)))
    assert ask(engine, "SELECT batch_size FROM peak") == [(1,)]


@pytest.mark.parametrize("view", ["throughput_history", "latency_history", "valid_measurement"])
def test_the_latest_valid_attempt_counts_and_no_other(engine: Engine, view: str) -> None:
    rates = {1: 100.0, 2: 200.0, 3: 300.0}
    for attempt, rate in rates.items():
        checks = (samples.NOISY,) if attempt == 3 else (samples.LITTLE,)
        result = samples.measured(throughput_inf_per_s=rate, checks=checks)
        store(engine, samples.measurement(attempt=attempt, result=result))
    store(engine, samples.measurement(attempt=4, failure=samples.failure()))
    assert ask(engine, f"SELECT throughput_inf_per_s FROM {view}") == [(200.0,)]


def test_an_attempt_that_measured_something_else_overrules_too(engine: Engine) -> None:
    """The second attempt ran on another machine: the sweep's figure is in that machine's history alone."""
    elsewhere = samples.HOST.model_copy(update={"instance_type": "inf2.8xlarge"})
    store(
        engine,
        samples.measurement(),
        samples.measurement(attempt=2, result=samples.measured(environment=elsewhere)),
    )
    assert ask(engine, "SELECT instance_type FROM throughput_history") == [("inf2.8xlarge",)]
    covered = "SELECT instance_type, state FROM coverage WHERE night = :night ORDER BY 1"
    assert ask(engine, covered, night=samples.NOON.date()) == [("inf2.8xlarge", "valid"), (None, "none")]


def test_imported_figures_are_in_the_history_and_say_so(small_fleet: Engine) -> None:
    wide = "SELECT DISTINCT night, throughput_inf_per_s FROM throughput_history WHERE origin = 'import'"
    assert ask(small_fleet, wide) == [(fleet.night_of(2), 5000.0)]
    both = (
        "SELECT count(DISTINCT series_id), count(DISTINCT origin) FROM throughput_history "
        "WHERE batch_size = 4 AND replicas = 2"
    )
    assert ask(small_fleet, both) == [(1, 2)]


def test_sdks_are_compared_per_series_and_imports_stand_apart(small_fleet: Engine) -> None:
    rows = ask(
        small_fleet,
        "SELECT origin, sdk, previous_sdk, nights, median_throughput_inf_per_s, throughput_change "
        "FROM sdk_comparison WHERE batch_size = 4 AND replicas = 2 ORDER BY origin, first_night",
    )
    assert rows == [
        ("dag", "2.25.0", None, 5, 1000.0, None),
        ("dag", "2.26.0", "2.25.0", 3, 900.0, pytest.approx(-0.1)),
        ("import", "2.25.0", None, 1, 5000.0, None),
    ]


def test_two_hosts_with_equal_versions_are_one_sdk(engine: Engine) -> None:
    other_host = samples.HOST.model_copy(update={"host": "host-b"})
    store(
        engine,
        samples.measurement(),
        samples.measurement(sweep=samples.sweep("run-2"), result=samples.measured(environment=other_host)),
    )
    assert len(ask(engine, "SELECT * FROM sdk_comparison")) == 1


@pytest.mark.parametrize(
    ("versions", "sdk"),
    [
        ({"neuron_sdk": "2.26.0", "neuronx_cc": "2.21.1", "torch": "2.8.0"}, "2.26.0"),
        ({"neuronx_cc": "2.21.1", "torch": "2.8.0"}, "neuronx-cc 2.21.1"),
        ({"torch": "2.8.0"}, "torch 2.8.0"),
        ({}, "unknown"),
    ],
)
def test_an_sdk_is_called_by_the_best_name_that_is_known(
    engine: Engine, versions: dict[str, str], sdk: str
) -> None:
    environment = Environment(hardware=False, device="Test CPU", fingerprint="f", **versions)
    store(engine, samples.measurement(result=samples.measured(environment=environment)))
    assert ask(engine, "SELECT sdk FROM throughput_history") == [(sdk,)]


# Coverage.


def coverage_of(engine: Engine, batch_size: int, **values: Any) -> list[tuple[Any, ...]]:
    return ask(
        engine,
        "SELECT night, state, sweep_id, reason FROM coverage WHERE batch_size = :batch_size AND replicas = 2 "
        "AND backend = 'neuron' AND night BETWEEN :first AND :last ORDER BY night",
        batch_size=batch_size,
        first=fleet.night_of(5),
        last=fleet.night_of(9),
        **values,
    )


def test_every_night_is_accounted_for(small_fleet: Engine) -> None:
    assert coverage_of(small_fleet, 4) == [
        (fleet.night_of(5), "valid", fleet.wide(5).sweep_id, ""),
        (fleet.night_of(6), "valid", fleet.wide(6).sweep_id, ""),
        (fleet.night_of(7), "none", None, "no sweep"),
        (fleet.night_of(8), "failed", fleet.wide(8).sweep_id, "No end within 600 s."),
        (fleet.night_of(9), "valid", fleet.wide(9).sweep_id, ""),
    ]
    assert coverage_of(small_fleet, 1)[1] == (
        fleet.night_of(6),
        "invalid",
        fleet.wide(6).sweep_id,
        fleet.DRIFT.advice,
    )


def test_coverage_goes_on_until_today(small_fleet: Engine) -> None:
    ((newest, today),) = ask(
        small_fleet, "SELECT max(night), (now() AT TIME ZONE 'UTC')::date FROM coverage WHERE state = 'none'"
    )
    assert newest == today


def explain_second_night(
    engine: Engine, *records: CompilationRecord | MeasurementRecord | SweepRecord
) -> Any:
    """State and reason of the night after one with a result."""
    store(engine, samples.measurement(), *records)
    return ask(
        engine,
        "SELECT state, reason FROM coverage WHERE night = :night AND batch_size = 1 AND NOT hardware",
        night=samples.NOON.date() + timedelta(days=1),
    )


TOMORROW = samples.sweep("run-2", created_at=samples.NOON + timedelta(days=1))


def test_a_failed_compilation_explains_a_gap(engine: Engine) -> None:
    failed = samples.compilation(
        sweep=TOMORROW, failure=samples.failure("No such operator.", stage="compile")
    )
    assert explain_second_night(engine, failed) == [("failed", "No such operator.")]


def test_a_sweep_that_came_to_nothing_explains_a_gap(engine: Engine) -> None:
    assert explain_second_night(engine, TOMORROW) == [("failed", "no result")]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ModelSpec(name="bert-large-uncased")},
        {"batch_sizes": (2,)},
        {"compiler_args": ("--auto-cast",)},
        {"backend": "neuron"},
        {"load": LoadSpec(replicas=6)},
        {"load": LoadSpec(workers=6)},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_a_sweep_that_asked_for_something_else_explains_nothing(
    engine: Engine, changes: dict[str, Any]
) -> None:
    other = TOMORROW.model_copy(update={"spec": TOMORROW.spec.model_copy(update=changes)})
    assert explain_second_night(engine, other) == [("none", "no sweep")]


def test_imported_figures_begin_no_coverage_and_fill_no_gap(engine: Engine) -> None:
    there = samples.sweep("there", origin="import", created_at=samples.NOON - timedelta(days=9))
    later = TOMORROW.model_copy(update={"origin": "import"})
    store(engine, samples.measurement(sweep=there), samples.measurement(sweep=later))
    assert ask(engine, "SELECT * FROM coverage") == []
    assert explain_second_night(engine) == [("none", "no sweep")]
    assert ask(engine, "SELECT min(night) FROM coverage") == [(samples.NOON.date(),)]


def test_a_figure_of_another_machine_explains_nothing(engine: Engine) -> None:
    elsewhere = samples.measured(
        environment=samples.HOST.model_copy(update={"instance_type": "inf2.8xlarge"})
    )
    rows = explain_second_night(engine, samples.measurement(sweep=TOMORROW, result=elsewhere))
    assert sorted(rows) == [("none", "no sweep"), ("valid", "")]


# Changes, baselines and annotations.


def statuses(engine: Engine, *said: str | None) -> Sequence[tuple[Any, ...]]:
    """What the history and the open changes say after these statuses were given, one after another."""
    store(engine, samples.measurement(), samples.measurement(sweep=TOMORROW))
    with engine.begin() as connection:
        change_id = judgements.add_change(connection, samples.sweep().sweep_id, TOMORROW.sweep_id)
        for minutes, status in enumerate(said):
            at = samples.NOON + timedelta(minutes=minutes)
            judgements.annotate(
                connection, change_id=change_id, status=status, reason=f"It is {status}.", annotated_at=at
            )
    return ask(
        engine, "SELECT status, author, reason, (SELECT count(*) FROM open_changes) FROM change_history"
    )


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([], ("open", None, None, 1)),
        ([None], ("open", None, None, 1)),
        (["acknowledged"], ("acknowledged", "Ana", "It is acknowledged.", 1)),
        (["acknowledged", None], ("acknowledged", "Ana", "It is acknowledged.", 1)),
        (["acknowledged", "fixed"], ("fixed", "Ana", "It is fixed.", 0)),
        (["expected"], ("expected", "Ana", "It is expected.", 0)),
        (["false_alarm"], ("false_alarm", "Ana", "It is false_alarm.", 0)),
        (["fixed", "open"], ("open", "Ana", "It is open.", 1)),
    ],
)
def test_the_latest_word_says_where_a_change_stands(
    engine: Engine, said: list[str | None], found: tuple[Any, ...]
) -> None:
    assert statuses(engine, *said) == [found]


@pytest.mark.parametrize(
    ("metric", "after", "direction"),
    [
        ("throughput_inf_per_s", 970.0, "worse"),
        ("throughput_inf_per_s", 1030.0, "better"),
        ("p99_ms", 970.0, "better"),
        ("p99_ms", 1030.0, "worse"),
    ],
)
def test_more_latency_is_worse_and_more_throughput_is_better(
    engine: Engine, metric: str, after: float, direction: str
) -> None:
    store(engine, samples.measurement(), samples.measurement(sweep=TOMORROW))
    with engine.begin() as connection:
        judgements.add_change(
            connection,
            samples.sweep().sweep_id,
            TOMORROW.sweep_id,
            metric=metric,
            after_value=after,
            relative_low=-0.05,
            relative_high=0.05,
        )
    assert ask(engine, "SELECT direction, relative_change, environment_changes FROM open_changes") == [
        (direction, pytest.approx(after / 1000 - 1), "nothing")
    ]


def test_a_change_whose_sweep_lost_its_figure_does_not_make_up_a_cause(engine: Engine) -> None:
    assert statuses(engine) == [("open", None, None, 1)]
    again = samples.NOON + timedelta(days=9)
    store(engine, samples.measurement(sweep=TOMORROW, failure=samples.failure(), recorded_at=again))
    assert ask(engine, "SELECT environment_changes FROM change_history") == [("not known",)]


def test_what_was_said_of_a_change_is_found_by_its_series_and_sweep(small_fleet: Engine) -> None:
    said = ask(small_fleet, "SELECT status, night FROM annotation_history ORDER BY annotation_id")
    assert said == [("acknowledged", fleet.night_of(5)), ("expected", fleet.night_of(5))]


def test_a_pinned_baseline_comes_first_until_it_is_withdrawn(engine: Engine) -> None:
    store(engine, samples.measurement(), samples.measurement(sweep=TOMORROW))
    with engine.begin() as connection:
        first, last = samples.sweep().sweep_id, TOMORROW.sweep_id
        judgements.add_baseline(connection, first, last)
        pinned = judgements.add_baseline(
            connection, last, last, kind="pinned", author="Ana", set_at=samples.NOON
        )
    current = "SELECT baseline_kind, author, first_night, last_night, sweeps FROM current_baseline"
    night = samples.NOON.date()
    tomorrow = night + timedelta(days=1)
    assert ask(engine, current) == [("pinned", "Ana", tomorrow, tomorrow, 1)]
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE baseline SET withdrawn_at = now() WHERE baseline_id = :id"), {"id": pinned}
        )
    assert ask(engine, current) == [("automatic", "steps 1", night, tomorrow, 2)]


def test_a_baselines_level_is_that_of_valid_measurements(small_fleet: Engine) -> None:
    with small_fleet.connect() as connection:
        first, last = fleet.wide(4).sweep_id, fleet.wide(9).sweep_id
        judgements.add_baseline(
            connection, first, last, series_id=judgements.series_of(connection, first, batch_size=1)
        )
        level = text("SELECT sweeps, median_throughput_inf_per_s FROM current_baseline")
        assert connection.execute(level).all() == [(4, 510.0)]


# How it was driven.


def test_intervals_are_in_the_histories_and_the_peak(engine: Engine) -> None:
    store(engine, samples.measurement(result=samples.told()))
    limits = "throughput_low_inf_per_s, throughput_high_inf_per_s"
    for view in ("throughput_history", "peak", "comparison_table", "valid_measurement"):
        found = ask(engine, f"SELECT {limits} FROM {view} WHERE throughput_inf_per_s IS NOT NULL")
        assert found == [(12600.5, 12700.25)]
    latencies = "SELECT p50_low_ms, p50_high_ms, p99_9_low_ms, p99_9_high_ms FROM latency_history"
    assert ask(engine, latencies) == [(0.938, 0.94, 1.0, 1.25)]


def test_what_the_harness_costs_is_shown_as_shares(engine: Engine) -> None:
    doubtful = samples.told(checks=(samples.NOISY,))
    store(engine, samples.measurement(result=doubtful), samples.measurement(2))
    shares = (
        "SELECT batch_size, status, worker_mode, share_of_latency, share_of_ideal FROM measurement_harness"
    )
    found = samples.HARNESS
    assert ask(engine, shares) == [
        (1, "invalid", "native", pytest.approx(found.share_of_latency), pytest.approx(found.share_of_ideal))
    ]


def test_readings_are_shown_with_their_measurement(engine: Engine) -> None:
    store(engine, samples.measurement(result=samples.told()), samples.measurement(2))
    readings = "SELECT batch_size, reading_name, figure, unit, core FROM measurement_reading ORDER BY 2"
    assert ask(engine, readings) == [
        (1, "core_utilisation", 0.97, "ratio", 0),
        (1, "device_memory", 2.5e9, "bytes", None),
    ]


def test_a_search_is_shown_trial_by_trial(engine: Engine) -> None:
    store(
        engine,
        samples.server_measurement(),
        samples.server_measurement("given", result=samples.served(trials=())),
    )
    tried = (
        "SELECT trial_number, target_batches_per_s, achieved_batches_per_s, samples, p99_ms, met "
        "FROM server_trial ORDER BY trial_number"
    )
    assert ask(engine, tried) == [(1, 600.0, 540.0, 5400, 9.5, False), (2, 500.5, 500.0, 5000, 4.5, True)]


def test_the_server_history_is_of_the_server_and_valid(engine: Engine) -> None:
    doubtful = samples.served(checks=(samples.NOISY,))
    store(
        engine,
        samples.measurement(),
        samples.server_measurement(),
        samples.server_measurement("doubtful", result=doubtful),
    )
    history = (
        "SELECT arrivals, target_batches_per_s, p99_limit_ms, p99_ms, service_p50_ms FROM server_history"
    )
    assert ask(engine, history) == [("search p99<=5ms", 500.5, 5.0, 0.990, 0.9)]


def test_a_failed_sweep_explains_the_gaps_of_its_own_arrivals(engine: Engine) -> None:
    loads: dict[str, dict[str, Any]] = {
        "search": {},
        "rate": {"target_batches_per_s": 500.0},
    }
    results = {"search": samples.served(), "rate": samples.served(500.0, trials=())}
    for run, load in loads.items():
        sweep = samples.asked_of_server(run, **load)
        store(engine, samples.server_measurement(run, sweep=sweep, result=results[run]))
    tomorrow = samples.NOON + timedelta(days=1)
    failing = samples.asked_of_server("later", target_batches_per_s=500.0)
    failing = failing.model_copy(update={"created_at": tomorrow})
    store(engine, samples.server_measurement(sweep=failing, result=None, failure=samples.failure()))
    states = "SELECT arrivals, state FROM coverage WHERE night = :night ORDER BY arrivals"
    assert ask(engine, states, night=tomorrow.date()) == [
        ("rate 500/s", "failed"),
        ("search p99<=5ms", "none"),
    ]


# Checks and rounds.


def test_checks_are_shown_passed_or_not_and_failed_ones_by_themselves(engine: Engine) -> None:
    doubtful = samples.measured(checks=(samples.LITTLE, samples.NOISY))
    store(engine, samples.measurement(), samples.measurement(attempt=2, result=doubtful))
    checks = ask(engine, "SELECT check_name, passed, figure, figure_limit, unit FROM measurement_check")
    assert sorted(checks, key=str) == [
        ("little", True, 12.0, 0.02, "workers"),
        ("little", True, 12.0, 0.02, "workers"),
        ("steal", False, None, None, ""),
    ]
    assert ask(engine, "SELECT check_name, advice FROM failed_check") == [("steal", samples.NOISY.advice)]


def test_rounds_are_shown_with_their_measurement(engine: Engine) -> None:
    store(engine, samples.measurement())
    rounds = ask(
        engine, "SELECT batch_size, round_index, batches FROM measurement_round ORDER BY round_index"
    )
    assert rounds == [(1, 0, 6000), (1, 1, 6000)]


# The environment.


def test_a_sweep_is_held_against_the_one_before_that_asked_the_same(small_fleet: Engine) -> None:
    rows = ask(
        small_fleet,
        "SELECT previous_sweep_id, previous_night, field, before, after FROM environment_difference "
        "WHERE sweep_id = :id ORDER BY rank",
        id=fleet.narrow(fleet.UPGRADE).sweep_id,
    )
    before = (fleet.narrow(fleet.UPGRADE - 1).sweep_id, fleet.night_of(fleet.UPGRADE - 1))
    assert rows == [
        (*before, "neuron_sdk", "2.25.0", "2.26.0"),
        (*before, "neuronx_cc", "2.20.9961", "2.21.18209"),
        (*before, "neuron_runtime", "2.27.23", "2.28.23"),
    ]


def test_only_upgrades_differ_in_the_small_fleet(small_fleet: Engine) -> None:
    nights = ask(small_fleet, "SELECT DISTINCT night FROM environment_difference")
    assert nights == [(fleet.night_of(fleet.UPGRADE),)]


def test_prices_know_when_they_end(small_fleet: Engine) -> None:
    periods = ask(
        small_fleet,
        "SELECT valid_from, valid_before FROM price_period "
        "WHERE instance_type = 'inf2.xlarge' AND price_kind = 'on_demand' ORDER BY valid_from",
    )
    assert periods == [(date(2024, 1, 1), fleet.night_of(6)), (fleet.night_of(6), None)]

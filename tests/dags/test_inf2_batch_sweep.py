"""The DAG as Airflow sees it, and as it runs: with a data plane that does as it is told."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, select

from benchlib.orchestration.airflow_environment import common_environment
from benchlib.orchestration.names import COMPILE_SLOTS, DAG_ID, DEVICE_POOL_SLOTS
from benchlib.orchestration.sweep_params import PARAMETERS, flat_params, sweep_spec
from benchlib.records import sweep_id_of
from benchlib.settings import PROJECT_ROOT, Settings
from benchlib.spec import ModelSpec, SweepSpec
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.repository import Repository
from benchlib.store.tables import SweepRow
from tests.conftest import new_database
from tests.orchestration.channel_servers import Arrived, channel_servers, html_of
from tests.orchestration.fake_python import OBEDIENT, failing, write_fake_python

from .airflow_process import facts_of

TAGS = {"benchmark", "inf2", "operation"}
LOAD = {"model": "config:tiny"}

PARAMS: list[tuple[str, object, bool]] = [
    ("batch_sizes", [1, 2], True),
    ("batch_sizes", ["1", "8"], True),  # the form's multi-select
    ("batch_sizes", ["1-10"], True),
    ("batch_sizes", ["0x8"], False),
    ("batch_sizes", [0], False),
    ("batch_sizes", [], False),
    ("rounds", 3, True),
    ("rounds", 0, False),
    ("workers", "auto", True),
    ("workers", "12", True),
    ("workers", 12, True),
    ("workers", "all", False),
    ("precision", "bf16", True),
    ("precision", "int8", False),
    ("label", None, True),
    ("scenario", "single_stream", True),
    ("scenario", "multi_stream", False),
    ("stop", "precision", True),
    ("stop", None, False),
    ("duration_s", 0.5, True),
    ("duration_s", 0, False),
    ("latency_limit_ms", 20, True),
    ("latency_limit_ms", None, True),  # an empty field
    ("latency_limit_ms", "20", False),
    ("target_batches_per_s", 0, False),
    ("profile", "aws-published", True),
    ("profile", "fast", False),
    ("fail_on_change", True, True),
    ("fail_on_change", "yes", False),
]

WHOLE_FORM = flat_params(SweepSpec(model=ModelSpec(name="bert-base-uncased"), batch_sizes="1-10"))
PROFILE_RUNS: dict[str, dict[str, Any]] = {
    "profile by REST": {"profile": "aws-published", "model": "config:tiny", "sequence_length": 128},
    "profile in the form": {**WHOLE_FORM, "profile": "aws-published", "model": "config:tiny"},
    "profile and more by REST": {
        "profile": "aws-published",
        "model": "config:tiny",
        "batch_sizes": [1],
        "replicas": "auto",  # what the form has too, but here it was asked for
    },
}

NOTIFY = """
notify: ["apprise:dead", "smtp:mail:perf@localhost", "slack:chat:#perf"]
"""
"""The first of them takes nothing."""

CRASHES_ONCE = """
if not os.path.exists({marker!r}):
    open({marker!r}, "w").close()
    os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    with new_database(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def arrived() -> Iterator[Arrived]:
    with channel_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def facts(database: str, arrived: Arrived, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything that the tests below look at, from one process with one import of Airflow."""
    folder = tmp_path_factory.mktemp("dags")
    home = folder / "airflow"
    dags = Path(shutil.copytree(PROJECT_ROOT / "dags", folder / "dags"))
    (dags / "sweeps.yaml").write_text(NOTIFY)
    settings = Settings.from_environment({"BENCH_HOME": str(folder / "home")})

    def python(name: str, body: str) -> str:
        return str(write_fake_python(folder / name, body))

    crashes_once = CRASHES_ONCE.format(marker=str(folder / "crashed")) + OBEDIENT
    runs = {
        "first fails to compile": (python("a", failing("compile", 1)), [1, 2, 3]),
        "first fails to measure": (python("b", failing("measure", 1)), ["2", "1"]),
        "all well": (python("c", OBEDIENT), ["1-2"]),
        "one crash": (python("d", crashes_once), [2]),
        "no interpreter": ("/nowhere/python", [1, 2]),
    }
    wishes = {
        "params": [(name, value) for name, value, _ in PARAMS],
        "runs": {
            name: {"python": python, "params": {**LOAD, "batch_sizes": sizes}}
            for name, (python, sizes) in runs.items()
        }
        | {
            name: {"python": python("c", OBEDIENT), "params": params} for name, params in PROFILE_RUNS.items()
        },
    }
    environment = {
        **common_environment(settings, home, f"sqlite:///{home}/airflow.db"),
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__API__BASE_URL": "https://airflow.example",
        "BENCH_DATABASE_URL": database,
        **arrived.variables,
    }
    return facts_of(wishes, environment, folder)


JUDGED = {
    ("suspects", -1): "success",
    ("confirm", -1): "skipped",
    ("detect", -1): "success",
    ("some_change_found", -1): "skipped",
}
"""Nothing to confirm or to tell: there is no history yet."""


def states(facts: dict[str, Any], run: str) -> dict[tuple[str, int], str]:
    return {(task, index): state for task, index, state, _, _ in facts["runs"][run]["tasks"]}


def test_every_dag_is_one_file_of_its_name_with_known_tags_and_a_text(facts: dict[str, Any]) -> None:
    assert facts["import_errors"] == {}
    assert DAG_ID in facts["dags"]
    for dag_id, file in facts["files"].items():
        assert dag_id == file
        assert facts["dags"][dag_id]["tags"] != []
        assert set(facts["dags"][dag_id]["tags"]) <= TAGS
        assert len(facts["dags"][dag_id]["doc"].split()) > 50


def test_the_sweep_runs_every_night_one_at_a_time(facts: dict[str, Any]) -> None:
    dag = facts["dags"][DAG_ID]
    assert (dag["schedule"], dag["catchup"], dag["max_active_runs"]) == ("0 2 * * *", False, 1)
    # Airflow 3.3.2 crashes after a successful `airflow dags test` of a DAG with a deadline.
    assert not dag["has_deadline"]


def test_device_tasks_go_to_the_device_and_a_measurement_takes_all_of_it(facts: dict[str, Any]) -> None:
    tasks = facts["dags"][DAG_ID]["tasks"]
    where = {name: (task["queue"], task["pool"], task["pool_slots"]) for name, task in tasks.items()}
    assert where == {
        "plan": ("default", "default_pool", 1),
        "preflight": ("inf2", "inf2_host", 1),
        "per_batch_size.compile": ("inf2", "inf2_host", COMPILE_SLOTS),
        "per_batch_size.measure": ("inf2", "inf2_host", DEVICE_POOL_SLOTS),
        "report": ("default", "default_pool", 1),
        "suspects": ("default", "default_pool", 1),
        "confirm": ("inf2", "inf2_host", DEVICE_POOL_SLOTS),
        "detect": ("default", "default_pool", 1),
        "some_batch_size_failed": ("default", "default_pool", 1),
        "some_change_found": ("default", "default_pool", 1),
    }


def test_a_lost_worker_costs_a_try_and_no_device_task_runs_for_ever(facts: dict[str, Any]) -> None:
    tasks = facts["dags"][DAG_ID]["tasks"]
    for name in ("per_batch_size.compile", "per_batch_size.measure"):
        assert tasks[name]["retries"] >= 1
        assert tasks[name]["timeout_s"] > 2 * 3600  # the wait for the device and the step itself
    assert tasks["preflight"]["timeout_s"] > 3600
    assert "preflight" in tasks["per_batch_size.compile"]["upstream"]


def test_the_form_has_every_parameter_and_the_specifications_defaults(facts: dict[str, Any]) -> None:
    defaults = dict(facts["dags"][DAG_ID]["defaults"])
    assert defaults.pop("profile") is None
    assert defaults.pop("fail_on_change") is False
    assert set(defaults) == set(PARAMETERS)
    wanted = SweepSpec(model=ModelSpec(name="bert-base-uncased"), batch_sizes="1-10")
    assert sweep_spec(defaults) == wanted


@pytest.mark.parametrize("index", range(len(PARAMS)), ids=lambda index: "{}={}".format(*PARAMS[index]))
def test_the_form_accepts_what_it_should(facts: dict[str, Any], index: int) -> None:
    assert facts["params"][index] == PARAMS[index][2]


def test_a_failing_first_batch_size_stops_no_other(facts: dict[str, Any], database: str) -> None:
    assert states(facts, "first fails to compile") == {
        ("plan", -1): "success",
        ("preflight", -1): "success",
        ("per_batch_size.compile", 0): "failed",
        ("per_batch_size.compile", 1): "success",
        ("per_batch_size.compile", 2): "success",
        ("per_batch_size.measure", 0): "upstream_failed",
        ("per_batch_size.measure", 1): "success",
        ("per_batch_size.measure", 2): "success",
        ("report", -1): "success",
        **JUDGED,
        ("some_batch_size_failed", -1): "failed",
    }
    assert facts["runs"]["first fails to compile"]["state"] == "failed"
    engine = create_engine(database)
    comparison = Repository(engine).comparison(sweep_of(facts, "first fails to compile"))
    engine.dispose()
    assert [(row.batch_size, row.status) for row in comparison.rows] == [(1, "failed"), (2, "ok"), (3, "ok")]
    assert comparison.rows[0].reason == "batch size 1 does not fit"


@pytest.mark.parametrize(
    ("run", "replicas", "sizes"),
    [
        ("profile by REST", 2, [1, 8]),
        ("profile in the form", 2, [1, 8]),
        ("profile and more by REST", None, [1]),
    ],
)
def test_a_profile_goes_under_what_was_given_and_over_the_defaults(
    facts: dict[str, Any], database: str, run: str, replicas: int | None, sizes: list[int]
) -> None:
    assert facts["runs"][run]["state"] == "success"
    engine = create_engine(database)
    asked = select(SweepRow.model, SweepRow.head, SweepRow.inputs, SweepRow.replicas, SweepRow.batch_sizes)
    with engine.connect() as connection:
        stored = connection.execute(asked.where(SweepRow.sweep_id == sweep_of(facts, run))).one()
    engine.dispose()
    assert tuple(stored) == ("config:tiny", "encoder", "zeros_int32", replicas, sizes)


def test_the_report_is_in_the_log(facts: dict[str, Any]) -> None:
    table = [
        line for line in facts["output"].splitlines() if "model_batch_size_3.pt" in line and "peak" in line
    ]
    assert len(table) == 1
    assert "Batch size 1 failed: batch size 1 does not fit" in facts["output"]


def test_a_failing_first_measurement_turns_the_run_red_after_the_report(facts: dict[str, Any]) -> None:
    assert states(facts, "first fails to measure") == {
        ("plan", -1): "success",
        ("preflight", -1): "success",
        ("per_batch_size.compile", 0): "success",
        ("per_batch_size.compile", 1): "success",
        ("per_batch_size.measure", 0): "failed",
        ("per_batch_size.measure", 1): "success",
        ("report", -1): "success",
        **JUDGED,
        ("some_batch_size_failed", -1): "failed",
    }


def test_when_all_is_well_the_run_is_green(facts: dict[str, Any]) -> None:
    found = states(facts, "all well")
    for skipped in ("some_batch_size_failed", "confirm", "some_change_found"):
        assert found.pop((skipped, -1)) == "skipped"
    assert set(found.values()) == {"success"}
    assert facts["runs"]["all well"]["state"] == "success"


def test_each_run_announces_its_sweep_and_what_came_of_it(facts: dict[str, Any]) -> None:
    told = {
        "all well": (2, 0, 2),
        "first fails to compile": (2, 1, 3),
        "no interpreter": (0, 2, None),
    }
    for name, run in facts["runs"].items():
        (event,) = run["events"]
        assert event["sweep_id"] == str(sweep_of(facts, name))
        if name in told:
            assert (event["valid"], event["failed"], event["peak_batch_size"]) == told[name]
            assert (event["invalid"], event["verdict"], event["worse"]) == (0, "no change", [])


def test_a_host_that_is_not_ready_stops_the_run_before_the_first_compile(
    facts: dict[str, Any], database: str
) -> None:
    assert states(facts, "no interpreter") == {
        ("plan", -1): "success",
        ("preflight", -1): "failed",
        ("per_batch_size.compile", -1): "upstream_failed",
        ("per_batch_size.measure", -1): "upstream_failed",
        ("report", -1): "success",
        **JUDGED,
        ("some_batch_size_failed", -1): "failed",
    }
    engine = create_engine(database)
    rows = Repository(engine).comparison(sweep_of(facts, "no interpreter")).rows
    engine.dispose()
    assert [(row.batch_size, row.status) for row in rows] == [(1, "failed"), (2, "failed")]
    for row in rows:
        assert row.reason == (
            "this host is not ready: interpreter: /nowhere/python does not run (it compiles and measures); "
            "to mend it: run `./bench demo` once, which makes it, or set BENCH_DATA_PYTHON"
        )


RED = ("first fails to compile", "first fails to measure", "no interpreter")


def test_each_red_run_is_told_by_mail_with_its_sizes_and_reasons(
    facts: dict[str, Any], arrived: Arrived
) -> None:
    assert [name for name, run in facts["runs"].items() if run["state"] == "failed"] == list(RED)
    assert [mail["Subject"] for mail in arrived.mails] == [
        "inf2_batch_sweep failed: no valid figure for batch size 1",
        "inf2_batch_sweep failed: no valid figure for batch size 1",
        "inf2_batch_sweep failed: no valid figure for batch sizes 1 and 2",
    ]
    html = html_of(arrived.mails[0])
    assert "2 of 3 batch sizes are valid." in html
    assert "<li>Batch size 1 failed: batch size 1 does not fit</li>" in html
    assert "not an inf2 result" in html
    run_id = quote(facts["runs"][RED[0]]["run_id"], safe="")
    assert f'href="https://airflow.example/dags/inf2_batch_sweep/runs/{run_id}"' in html


def test_a_channel_that_fails_keeps_no_other_from_its_message(
    facts: dict[str, Any], arrived: Arrived
) -> None:
    told = [post["text"].splitlines()[0] for post in arrived.posted("/chat.postMessage")]
    assert told == [mail["Subject"] for mail in arrived.mails]
    assert facts["output"].count("could not be sent to apprise:dead") == len(RED)


def test_what_was_asked_wrongly_is_not_tried_again_but_a_crash_is(facts: dict[str, Any]) -> None:
    tries = {
        (name, task, index): number
        for name, run in facts["runs"].items()
        for task, index, _, number, _ in run["tasks"]
    }
    assert tries["first fails to compile", "per_batch_size.compile", 0] == 1
    assert tries["one crash", "per_batch_size.compile", 0] == 2
    assert facts["runs"]["one crash"]["state"] == "success"


def test_mapped_tasks_are_named_after_their_batch_size(facts: dict[str, Any]) -> None:
    names = {
        (task, index): name
        for task, index, _, _, name in facts["runs"]["first fails to measure"]["tasks"]
        if index >= 0
    }
    assert set(names.items()) == {
        (("per_batch_size.compile", 0), "batch 1"),
        (("per_batch_size.compile", 1), "batch 2"),
        (("per_batch_size.measure", 0), "batch 1"),
        (("per_batch_size.measure", 1), "batch 2"),
    }


def sweep_of(facts: dict[str, Any], run: str) -> uuid.UUID:
    return sweep_id_of(DAG_ID, facts["runs"][run]["run_id"])


def test_the_dag_needs_no_heavy_import_to_be_parsed() -> None:
    """The scheduler reads the file every few seconds: what tasks need is imported in the tasks."""
    source = (Path(__file__).parents[2] / "dags" / f"{DAG_ID}.py").read_text()
    top = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert [line for line in top if "orchestration.steps" in line or "sqlalchemy" in line] == []

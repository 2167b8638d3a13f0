"""Sweeps that a file declares: each is a DAG, a bad one is an import error and stops no other."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchlib.orchestration.airflow_environment import common_environment
from benchlib.orchestration.names import DAG_ID
from benchlib.settings import Settings
from tests.orchestration.fake_python import OBEDIENT, write_fake_python

from .airflow_process import facts_of

ROOT = Path(__file__).parents[2]
DECLARED = """
sweeps:
  - {name: tiny_nightly, model: "config:bert-tiny", batch_sizes: [1, 2], queue: inf2_large, pool: large_host,
     schedule: "30 3 * * *", rounds: 5}
  - {name: broken, model: m, batch_sizes: [1], rounds: 0}
  - {name: published, profile: aws-published, model: "config:bert-tiny"}
"""


def test_every_good_entry_is_a_dag_and_the_bad_one_is_named(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / f"{DAG_ID}.py", dags)
    (dags / "sweeps.yaml").write_text(DECLARED)
    home = tmp_path / "home"
    settings = Settings.from_environment({"BENCH_HOME": str(home)})
    environment = {
        **common_environment(settings, home / "airflow", f"sqlite:///{tmp_path}/airflow.db"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "Asia/Tokyo",
        "BENCH_DATA_PYTHON": str(write_fake_python(tmp_path / "python", OBEDIENT)),
    }
    facts = facts_of({"params": [], "runs": {}}, environment, tmp_path)

    assert set(facts["dags"]) == {DAG_ID, "tiny_nightly", "published"}
    (error,) = facts["import_errors"].values()
    assert "sweeps.yaml, entry 2 (broken): rounds: 0 is not allowed" in error
    nightly = facts["dags"]["tiny_nightly"]
    # In UTC as for the watch over the nights, whatever Airflow's own time zone.
    assert (nightly["schedule"], nightly["schedule_timezone"]) == ("30 3 * * *", "UTC")
    assert (nightly["defaults"]["rounds"], nightly["defaults"]["batch_sizes"]) == (5, [1, 2])
    device = [nightly["tasks"][f"per_batch_size.{name}"] for name in ("compile", "measure")]
    assert [(task["queue"], task["pool"]) for task in device] == [("inf2_large", "large_host")] * 2
    published = facts["dags"]["published"]["defaults"]
    assert (published["head"], published["replicas"], published["model"]) == (
        "encoder",
        2,
        "config:bert-tiny",
    )
    assert facts["dags"][DAG_ID]["defaults"]["rounds"] == 3

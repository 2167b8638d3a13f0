"""An Airflow of a test's own, and the nights that its database has seen before."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from benchlib.orchestration.airflow_environment import common_environment
from benchlib.orchestration.names import DAG_ID
from benchlib.orchestration.sweep_params import sweep_spec
from benchlib.records import MeasurementRecord, SweepRecord, sweep_id_of
from benchlib.results import Environment
from benchlib.settings import PROJECT_ROOT, Settings
from tests.orchestration.fake_python import ENVIRONMENT, MEASURED


def telling_deployment(folder: Path, engine: Engine, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of an Airflow in this folder whose DAGs store in this database and mail what is new."""
    home = folder / "airflow"
    dags = Path(shutil.copytree(PROJECT_ROOT / "dags", folder / "dags"))
    (dags / "sweeps.yaml").write_text('notify: ["smtp:mail:perf@localhost"]\n')
    settings = Settings.from_environment({"BENCH_HOME": str(folder / "home")})
    return {
        **common_environment(settings, home, f"sqlite:///{home}/airflow.db"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "BENCH_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        **variables,
    }


def past_sweep(params: Mapping[str, Any], run_id: str, at: datetime) -> SweepRecord:
    """A sweep of the CPU backend that began at this time."""
    return SweepRecord(
        sweep_id=sweep_id_of(DAG_ID, run_id),
        dag_id=DAG_ID,
        run_id=run_id,
        spec=sweep_spec({**params, "backend": "cpu"}),
        created_at=at,
    )


def past_measurement(
    sweep: SweepRecord, size: int, rate_per_s: float, environment: Environment = ENVIRONMENT
) -> MeasurementRecord:
    """One batch size of it, one call at a time, on the host that the tests' data plane pretends to be."""
    p50_ms = 1000 * size / rate_per_s
    figures = {
        "batch_size": size,
        "inferences": 100 * size,
        "throughput_inf_per_s": rate_per_s,
        "duration_s": 100 * size / rate_per_s,
        "latency": MEASURED.latency.model_copy(update={"mean_ms": p50_ms, "p50_ms": p50_ms}),
        "environment": environment,
    }
    result = MEASURED.model_copy(update=figures)
    return MeasurementRecord(sweep=sweep, batch_size=size, result=result, recorded_at=sweep.created_at)

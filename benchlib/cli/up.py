"""`bench up`: Airflow on this machine."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from benchlib.cli.beforehand import check_home
from benchlib.cli.signals import stopped_by_signals
from benchlib.orchestration.airflow_environment import ADMIN, Ports, Secrets
from benchlib.orchestration.local_airflow import check_ports, local_airflow
from benchlib.orchestration.names import DAG_ID
from benchlib.settings import Settings

_LOOK_S = 1.0
_DEFAULT = Ports()


def up(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the web page and the API; only this machine reaches it.")
    ] = _DEFAULT.api,
    worker_logs_port: Annotated[
        int, typer.Option(min=1, max=65535, help="On which Airflow serves the logs of running tasks.")
    ] = _DEFAULT.worker_logs,
    triggerer_logs_port: Annotated[
        int, typer.Option(min=1, max=65535, help="On which Airflow's triggerer serves its logs.")
    ] = _DEFAULT.triggerer_logs,
) -> None:
    """Run Airflow on this machine until Ctrl-C, with the nightly DAG switched on.

    Starts the database, the web page and API, the scheduler and what belongs to them; nothing of it is left
    running at the end. A second Ctrl-C does not wait for tasks to end. `bench trigger` starts a run by hand.

    Exit code 1: a part of Airflow did not come up or has ended; it is named. 2: a port is taken.
    """
    settings, ports = Settings.from_environment(), Ports(port, worker_logs_port, triggerer_logs_port)
    check_ports(ports)
    check_home(settings)
    typer.echo(f"starting Airflow, which takes about 20 s; logs: {settings.logs_dir}/up-*.log")
    with stopped_by_signals(), local_airflow(settings, ports, DAG_ID) as airflow:
        password = Secrets.of(settings.airflow_home).admin_password
        typer.echo(f"ready: {airflow.client.url}  user {ADMIN}, password {password}  (Ctrl-C stops it)")
        while True:
            time.sleep(_LOOK_S)
            airflow.check()

"""What a deployment needs before its first start and after every upgrade; doing it again changes nothing.

``python -m benchlib.orchestration.deployment``, with Airflow's own variables for its database and auth
manager, ``BENCH_DATABASE_URL`` for the results, and ``AIRFLOW_ADMIN_PASSWORD`` for the user ``admin``.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchlib.errors import EXIT_BAD_INPUT, EXIT_FAILED, BadInput, BenchError
from benchlib.orchestration.airflow_environment import ADMIN
from benchlib.orchestration.names import DEVICE_POOL, DEVICE_POOL_SLOTS
from benchlib.orchestration.postgres import upgrade_results
from benchlib.settings import Settings

PASSWORD = "AIRFLOW_ADMIN_PASSWORD"  # noqa: S105 - the variable's name


def prepare(settings: Settings, password: str) -> None:
    """Bring both databases up to date, make the device's pool and the user ``admin`` with this password.

    Raises:
        BadInput: no password, or no database for the results.
        BenchError: one of Airflow's commands failed; the end of its output is quoted.
    """
    if not password:
        raise BadInput(PASSWORD, password, "a password for the user admin")
    if settings.database_url is None:
        raise BadInput("BENCH_DATABASE_URL", None, "the URL of the database for the results")
    _airflow("db", "migrate")
    slots = str(DEVICE_POOL_SLOTS)
    _airflow("pools", "set", DEVICE_POOL, slots, "One device host: a measurement takes all slots")
    upgrade_results(settings)
    who = ("--username", ADMIN, "--password", password)
    person = ("--firstname", ADMIN, "--lastname", ADMIN, "--email", "admin@localhost")
    _airflow("users", "create", "--role", "Admin", *person, *who)
    # An existing user keeps the old password otherwise.
    _airflow("users", "reset-password", *who)


def _airflow(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n  ".join(done.stdout.splitlines()[-5:])
        raise BenchError(f"`airflow {' '.join(arguments[:2])}` failed:\n  {last}")


def main() -> int:
    """Prepare what the environment's variables name; returns the exit status."""
    try:
        prepare(Settings.from_environment(), os.environ.get(PASSWORD, ""))
    except BenchError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT if isinstance(error, BadInput) else EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Where things live: read from the environment once, with defaults that need no set-up.

| variable             | default                     |
|----------------------|-----------------------------|
| BENCH_HOME           | .bench beside the checkout  |
| BENCH_DATABASE_URL   | the embedded PostgreSQL     |
| BENCH_ARTIFACT_URL   | file://$BENCH_HOME/artifacts|
| BENCH_SPOOL_URL      | none                        |
| BENCH_DATA_PYTHON    | .venv-data/bin/python       |
| BENCH_BACKEND        | cpu                         |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """The places that the control plane reads and writes."""

    home: Path
    database_url: str | None = field(repr=False)  # it may hold a password
    """``None``: the embedded PostgreSQL under `postgres_dir`."""
    artifact_url: str
    data_python: Path
    backend: str = "cpu"
    """The device's backend where none is asked for; set to ``neuron`` on an Inferentia host."""
    spool_url: str | None = field(default=None, repr=False)
    """Where results that wait for the database have a second copy; ``None``: they have none.

    Only with a database that the hosts share: else one host would take the results of all into its own."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the variables named at the top of this module; an empty one counts as unset."""
        home = Path(environ.get("BENCH_HOME") or PROJECT_ROOT / ".bench").absolute()
        database_url = environ.get("BENCH_DATABASE_URL") or None
        return cls(
            home=home,
            database_url=database_url,
            artifact_url=environ.get("BENCH_ARTIFACT_URL") or f"file://{home / 'artifacts'}",
            data_python=Path(
                environ.get("BENCH_DATA_PYTHON") or PROJECT_ROOT / ".venv-data" / "bin" / "python"
            ),
            backend=environ.get("BENCH_BACKEND") or "cpu",
            spool_url=(environ.get("BENCH_SPOOL_URL") or None) if database_url else None,
        )

    @property
    def postgres_dir(self) -> Path:
        """Data directory of the embedded PostgreSQL."""
        return self.home / "postgres"

    @property
    def spool_dir(self) -> Path:
        """Finished results that the database has not confirmed yet."""
        return self.home / "spool"

    @property
    def airflow_home(self) -> Path:
        """Airflow's own files and logs."""
        return self.home / "airflow"

    @property
    def logs_dir(self) -> Path:
        """Logs of `bench` itself, one file per command."""
        return self.home / "logs"

    @property
    def device_lock(self) -> Path:
        """The host's reader/writer lock: compiles share it, a measurement has it alone."""
        return self.home / "device.lock"

"""Airflow's REST API, as far as this project uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from benchlib.errors import BenchError

_TIMEOUT_S = 30.0
_PAGE = 100  # Airflow's own limit


class AirflowUnreachable(BenchError):
    """Nothing answers there."""


class AirflowRefused(BenchError):
    """Airflow answered with an error."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(f"Airflow refused: {detail} (HTTP {status})")


@dataclass(frozen=True)
class TaskState:
    """Where one task of a run stands."""

    task_id: str
    map_index: int
    """-1: not mapped."""
    state: str | None


class AirflowClient:
    """One Airflow, as one of its users. Logs in when it has to."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._login = {"username": user, "password": password}
        # A proxy for the outside world cannot reach this machine's own ports.
        is_local = httpx.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S, trust_env=not is_local)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def health(self) -> dict[str, str | None]:
        """Each component's own word, such as ``healthy``; nobody need be logged in."""
        answer = self._send("GET", "/api/v2/monitor/health")
        return {name: part["status"] for name, part in answer.items()}

    def is_paused(self, dag_id: str) -> bool | None:
        """Whether the DAG starts no tasks; ``None``: Airflow does not know it, or not yet."""
        try:
            return bool(self._ask("GET", f"/api/v2/dags/{dag_id}")["is_paused"])
        except AirflowRefused as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def make_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool; one that exists stays as its owner made it."""
        body = {"name": name, "slots": slots, "description": description}
        try:
            self._ask("POST", "/api/v2/pools", body)
        except AirflowRefused as error:
            if error.status != httpx.codes.CONFLICT:
                raise

    def trigger(self, dag_id: str, params: Mapping[str, Any]) -> str:
        """Start a run and return its id."""
        body = {"logical_date": None, "conf": dict(params)}
        return str(self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> Iterator[TaskState]:
        """All tasks of a run."""
        seen, total = 0, 1
        while seen < total:
            path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit={_PAGE}&offset={seen}"
            page = self._ask("GET", path)
            total, tasks = page["total_entries"], page["task_instances"]
            seen += len(tasks) or total
            for task in tasks:
                yield TaskState(task["task_id"], task["map_index"], task["state"])

    def returned(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task that is not mapped has returned; ``None``: nothing yet."""
        task = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        try:
            return self._ask("GET", f"{task}/xcomEntries/return_value")["value"]
        except AirflowRefused as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if "Authorization" not in self._http.headers:
            self._log_in()
        try:
            return self._send(method, path, body)
        except AirflowRefused as error:
            if error.status != httpx.codes.UNAUTHORIZED:
                raise
        self._log_in()  # the token has expired
        return self._send(method, path, body)

    def _log_in(self) -> None:
        self._http.headers.pop("Authorization", None)
        token = self._send("POST", "/auth/token", self._login)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, json=body)
            content = answer.json()
        except httpx.HTTPError as error:
            raise AirflowUnreachable(f"no Airflow answers at {self.url}: {error}") from error
        except ValueError as error:
            raise AirflowUnreachable(f"what answers at {self.url} is not Airflow") from error
        if answer.is_error:
            raise AirflowRefused(answer.status_code, _sentence(content))
        found: dict[str, Any] = content
        return found


def _sentence(content: object) -> str:
    """What an error's body says: FastAPI's list of complaints, or one text."""
    detail = content.get("detail", content) if isinstance(content, dict) else content
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        detail = detail[0].get("msg", detail[0])
    return " ".join(str(detail).split())

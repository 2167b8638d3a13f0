"""The client against a server that answers as Airflow does, and as other programs do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from benchlib.orchestration.airflow_client import (
    AirflowClient,
    AirflowRefused,
    AirflowUnreachable,
    TaskState,
)

TASKS = [{"task_id": "compile", "map_index": index, "state": "success"} for index in range(230)]


@dataclass
class FakeAirflow:
    """Counts log-ins; a token is good for ``uses`` requests."""

    url: str = ""
    uses: int = 1000
    logins: int = 0
    asked: list[str] = field(default_factory=list)
    answer: Callable[[str, dict[str, Any]], tuple[int, Any]] = lambda path, body: (404, {"detail": "no such"})

    def respond(self, path: str, token: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/auth/token":
            self.logins += 1
            self.uses = 2 if body["password"] == "short" else 1000
            if body["password"] == "wrong":
                return 401, {"detail": "Invalid credentials"}
            return 201, {"access_token": f"token {self.logins}"}
        self.uses -= 1
        if token != f"Bearer token {self.logins}" or self.uses < 0:
            return 401, {"detail": "Token expired"}
        self.asked.append(path)
        return self.answer(path, body)


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or "{}")
            status, content = fake.respond(self.path, self.headers.get("Authorization", ""), body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def client(airflow: FakeAirflow, password: str = "good") -> AirflowClient:
    return AirflowClient(airflow.url, "admin", password)


def test_all_pages_of_tasks_are_read(airflow: FakeAirflow) -> None:
    def page(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        offset = int(path.rpartition("=")[2])
        return 200, {"task_instances": TASKS[offset : offset + 100], "total_entries": len(TASKS)}

    airflow.answer = page
    found = list(client(airflow).tasks("dag", "run"))
    assert found == [TaskState("compile", index, "success") for index in range(230)]
    assert len(airflow.asked) == 3


def test_an_expired_token_is_renewed_once(airflow: FakeAirflow) -> None:
    airflow.answer = lambda path, body: (200, {"state": "running"})
    asking = client(airflow, "short")
    assert [asking.run_state("dag", "run") for _ in range(5)] == ["running"] * 5
    assert airflow.logins == 3


def test_a_wrong_password_is_said_as_airflow_says_it(airflow: FakeAirflow) -> None:
    with pytest.raises(AirflowRefused, match=r"Invalid credentials \(HTTP 401\)"):
        client(airflow, "wrong").run_state("dag", "run")


def test_what_is_not_there_is_none_and_not_an_error(airflow: FakeAirflow) -> None:
    assert client(airflow).is_paused("dag") is None
    assert client(airflow).returned("dag", "run", "plan") is None


def test_a_pool_that_exists_stays(airflow: FakeAirflow) -> None:
    airflow.answer = lambda path, body: (409, {"detail": "exists"})
    client(airflow).make_pool("inf2_host", 4, "")
    airflow.answer = lambda path, body: (403, {"detail": "Forbidden"})
    with pytest.raises(AirflowRefused, match="Forbidden"):
        client(airflow).make_pool("inf2_host", 4, "")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"detail": "Invalid input\n for param rounds"}, "Invalid input for param rounds"),
        ({"detail": [{"msg": "Field required", "loc": ["body"]}]}, "Field required"),
        ({"detail": {"reason": "not_found"}}, "{'reason': 'not_found'}"),
        (["odd"], "['odd']"),
    ],
)
def test_a_refusal_is_one_sentence(airflow: FakeAirflow, content: Any, sentence: str) -> None:
    airflow.answer = lambda path, body: (400, content)
    with pytest.raises(AirflowRefused) as caught:
        client(airflow).trigger("dag", {})
    assert (caught.value.status, caught.value.detail) == (400, sentence)


def test_another_program_at_that_address_is_recognised(airflow: FakeAirflow) -> None:
    airflow.answer = lambda path, body: (200, b"<html>hello</html>")
    with pytest.raises(AirflowUnreachable, match="is not Airflow"):
        client(airflow).run_state("dag", "run")


def test_nobody_at_that_address() -> None:
    with pytest.raises(AirflowUnreachable, match=r"no Airflow answers at http://127\.0\.0\.1:1"):
        AirflowClient("http://127.0.0.1:1/", "admin", "x").health()


def test_a_proxy_is_not_asked_for_this_machine(airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    airflow.answer = lambda path, body: (200, {"state": "running"})
    assert client(airflow).run_state("dag", "run") == "running"

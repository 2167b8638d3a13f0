"""Where notifications arrive in tests: a real SMTP server and a web server that keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.cli.test_up import free_ports


@dataclass
class Arrived:
    """What came in, in order."""

    mails: list[EmailMessage] = field(default_factory=list)
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body."""
    variables: dict[str, str] = field(default_factory=dict)
    """Airflow's connections ``mail``, ``chat`` (Slack), ``hook`` and ``dead`` (Apprise), as variables."""

    def posted(self, path: str) -> list[dict[str, Any]]:
        return [body for at, body in self.posts if at == path]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(email.message_from_bytes(content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 taken"


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


@contextmanager
def channel_servers() -> Iterator[Arrived]:
    """Both servers, for as long as the block lasts."""
    arrived = Arrived()

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.posts.append((self.path, json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"ok": true}')

        def log_message(self, *_: object) -> None:
            pass

    (smtp_port, closed) = free_ports(2)
    mail = Controller(arrived, hostname="127.0.0.1", port=smtp_port)
    web = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    arrived.variables = _connections(smtp_port, web.server_port, closed)
    mail.start()
    thread = Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield arrived
    finally:
        mail.stop()
        web.shutdown()
        web.server_close()
        thread.join()


def _connections(smtp_port: int, web_port: int, closed_port: int) -> dict[str, str]:
    plain = {"disable_ssl": True, "disable_tls": True, "from_email": "bench@localhost", "retry_limit": 1}
    web = f"http://127.0.0.1:{web_port}/"
    connections: dict[str, dict[str, Any]] = {
        "mail": {"conn_type": "smtp", "host": "127.0.0.1", "port": smtp_port, "extra": plain},
        "chat": {"conn_type": "slack", "password": "xoxb-1", "extra": {"base_url": web}},
        "hook": _apprise(f"json://127.0.0.1:{web_port}/hook"),
        "dead": _apprise(f"json://127.0.0.1:{closed_port}/"),
    }
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(each) for name, each in connections.items()}


def _apprise(path: str) -> dict[str, Any]:
    return {"conn_type": "apprise", "extra": {"config": {"path": path, "tag": "all"}}}

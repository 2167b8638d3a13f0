"""Messages arrive at real servers through Airflow's notifiers; a channel that fails stops no other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from benchlib.errors import BadInput
from benchlib.orchestration.notify import parse_channel
from benchlib.report.notifications import compose

from .channel_servers import Arrived, channel_servers, html_of
from .conftest import PROJECT

HOSTILE = compose(
    "{{ 7 * 7 }} <b>slow</b>",
    "Since {{ 'to' + 'day' }}: <!channel> & more.",
    points=["a\nb"],
    url="http://a/b?c&d",
)
TEXTS = (
    "apprise:dead",
    "smtp:nobody_knows:a@x",
    "smtp:mail:ann@x,bob@x",
    "slack:chat:#perf",
    "apprise:hook",
)

SEND = """
import json, sys
from benchlib.orchestration.notify import notify, parse_channel, try_channels
from benchlib.report.notifications import Message
asked = json.load(sys.stdin)
message, channels = Message(**asked["message"]), [parse_channel(text) for text in asked["texts"]]
told = dict(took=notify(message, channels), failures=try_channels(message, channels[:1]))
sys.stdout.write("\\n" + json.dumps(told))
"""
"""In a process of its own: importing Airflow changes logging for the whole process."""


@dataclass(frozen=True)
class Sent:
    told: dict[str, Any]
    output: str
    arrived: Arrived


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    with channel_servers() as arrived:
        home = str(tmp_path_factory.mktemp("airflow"))
        done = subprocess.run(
            [sys.executable, "-c", SEND],
            input=json.dumps({"message": vars(HOSTILE), "texts": TEXTS}),
            env={**PROJECT, **arrived.variables, "AIRFLOW_HOME": home},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        yield Sent(json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr, arrived)


def lines(sent: Sent, *parts: str) -> Sequence[str]:
    return [line for line in sent.output.splitlines() if all(part in line for part in parts)]


def test_a_channel_that_fails_is_a_warning_and_keeps_no_other_from_its_message(sent: Sent) -> None:
    assert tuple(sent.told["took"]) == TEXTS[2:]
    (failure,) = sent.told["failures"]
    assert failure.startswith("apprise:dead: not all of the 1 services of the connection took it")
    assert lines(sent, "warning", "could not be sent to smtp:nobody_knows:a@x: ")
    assert "Traceback" not in sent.output


def test_a_mail_has_everything_escaped_and_no_template_is_rendered(sent: Sent) -> None:
    (mail,) = sent.arrived.mails
    assert (mail["Subject"], mail["To"], mail["From"]) == (HOSTILE.subject, "ann@x, bob@x", "bench@localhost")
    html = html_of(mail)
    assert "{{ &#39;to&#39; + &#39;day&#39; }}: &lt;!channel&gt; &amp; more." in html
    assert "<li>a b</li>" in html
    assert 'href="http://a/b?c&amp;d"' in html


def test_slack_gets_text_that_addresses_nobody(sent: Sent) -> None:
    (post,) = sent.arrived.posted("/chat.postMessage")
    assert post["channel"] == "#perf"
    begin = "{{ 7 * 7 }} &lt;b&gt;slow&lt;/b&gt;\n\nSince {{ 'to' + 'day' }}: &lt;!channel&gt; &amp; more."
    assert post["text"].startswith(begin)


def test_apprise_gets_the_text_and_the_kind(sent: Sent) -> None:
    (post,) = sent.arrived.posted("/hook")
    assert (post["title"], post["message"], post["type"]) == (HOSTILE.subject, HOSTILE.text, "failure")


@pytest.mark.parametrize(
    "text",
    [
        "", "mail:mail:a@x", "smtp:mail", "smtp:mail:nobody", "smtp:mail:a@x,", "smtp::a@x",
        "smtp:mail:a@x:b", "slack:chat", "slack:chat:", "slack:two words:#perf",
        "apprise:hook:tag", "apprise", 7, None,
    ],
)  # fmt: skip
def test_what_names_no_channel_is_refused_in_one_sentence(text: object) -> None:
    with pytest.raises(BadInput) as raised:
        parse_channel(text)
    assert str(raised.value).startswith(
        f"notify: {text!r} is not allowed; allowed: smtp:CONNECTION_ID:ADDRESS"
    )


def test_a_channel_is_written_as_it_is_read() -> None:
    assert [str(parse_channel(text)) for text in TEXTS] == list(TEXTS)

"""The door through which anything is told to people: Airflow's own notifiers, chosen by connection id.

A channel is written as one text, in the ``notify`` lists of ``dags/sweeps.yaml``::

    smtp:CONNECTION_ID:to@example.com      several addresses are separated by commas
    slack:CONNECTION_ID:#channel           the connection holds the app's token
    apprise:CONNECTION_ID                  Teams, Discord, ntfy, webhooks: whatever Apprise knows

What to reach them with (hosts, passwords, tokens) is in Airflow's connections, never in the file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from benchlib.errors import BadInput, BenchError
from benchlib.report.notifications import Kind, Message

if TYPE_CHECKING:
    from apprise import NotifyType

ALLOWED = "smtp:CONNECTION_ID:ADDRESS, slack:CONNECTION_ID:#CHANNEL or apprise:CONNECTION_ID"

_CONNECTION = re.compile(r"[\w.-]{1,200}")
_TARGETS = {
    "smtp": re.compile(r"[^\s@,:]+@[^\s@,:]+(,[^\s@,:]+@[^\s@,:]+)*"),
    "slack": re.compile(r"#?[^\s#:,@]+"),
    "apprise": re.compile(""),
}
_SLACK_TEXT_CHARS = 3500
"""Slack cuts longer ones at 4000 in the middle of a sentence."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Channel:
    """Where a message can go."""

    kind: str
    """``smtp``, ``slack`` or ``apprise``."""
    connection_id: str
    """Of Airflow's connection."""
    target: str = ""
    """Addresses, or the channel in Slack."""

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind, self.connection_id, self.target) if part)


def parse_channel(text: object) -> Channel:
    """The channel that a text names.

    Raises:
        BadInput: it names none.
    """
    kind, _, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    connection_id, _, target = rest.partition(":")
    wanted = _TARGETS.get(kind)
    if wanted is None or not _CONNECTION.fullmatch(connection_id) or not wanted.fullmatch(target):
        raise BadInput("notify", text, ALLOWED)
    return Channel(kind, connection_id, target)


def notify(message: Message, channels: Sequence[Channel]) -> tuple[str, ...]:
    """Send one composed message to every channel; the door for whatever has something to tell.

    Call it from a task or from a callback of Airflow's: connections are only known there.
    `benchlib.report.notifications.compose` makes the message, `read_declarations(...).notify_for(dag_id)` has
    the channels of a DAG, `benchlib.store.notices.tell_once` sees to it that a subject is told once::

        message = compose("Throughput fell by 4 %", "bert-base-uncased is slower since ...", url=page)
        tell_once(engine, ["incident 12 opened"], lambda _: notify(message, channels))

    Never raises for what goes wrong on the way: a channel that fails costs a warning in the log and keeps no
    other from its message, so that no notification can turn a good run bad.

    Returns the channels that took the message, as texts; empty when none did.
    """
    return tuple(str(channel) for channel in channels if _sent(message, channel) is None)


def try_channels(message: Message, channels: Sequence[Channel]) -> tuple[str, ...]:
    """Send the message to every channel; returns one sentence for each that failed."""
    failures = ((channel, _sent(message, channel)) for channel in channels)
    return tuple(f"{channel}: {failure}" for channel, failure in failures if failure)


def _sent(message: Message, channel: Channel) -> str | None:
    """``None`` when the channel took it, else why not."""
    try:
        _SENDERS[channel.kind](message, channel)
    except Exception as error:  # whatever a mail server, a web service or their clients may think of
        reason = " ".join(str(error).split()) or type(error).__name__
        log.warning("the notification %r could not be sent to %s: %s", message.subject, channel, reason)
        return reason
    log.info("the notification %r was sent to %s", message.subject, channel)
    return None


# `notify` and not a call: that would render the message as a Jinja template, and a failure may read like one.


def _send_mail(message: Message, channel: Channel) -> None:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    SmtpNotifier(
        smtp_conn_id=channel.connection_id,
        to=channel.target.split(","),
        subject=message.subject,
        html_content=message.html,
    ).notify({})


def _send_to_slack(message: Message, channel: Channel) -> None:
    from airflow.providers.slack.notifications.slack import SlackNotifier

    # Escaped, else a failure's text could address everybody: <!channel>.
    text = escape(f"{message.subject}\n\n{message.text}"[:_SLACK_TEXT_CHARS], quote=False)
    SlackNotifier(
        slack_conn_id=channel.connection_id,
        channel=channel.target,
        text=text,
        username="bench",
        icon_url="",
        unfurl_links=False,
    ).notify({})  # type: ignore[no-untyped-call]


def _send_by_apprise(message: Message, channel: Channel) -> None:
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise

    # The provider's notifier would not say whether it worked.
    hook, services = AppriseHook(channel.connection_id), Apprise()
    hook.set_config_from_conn(hook.get_connection(channel.connection_id), services)
    if not services.notify(body=message.text, title=message.subject, notify_type=_apprise_kind(message.kind)):
        raise BenchError(f"not all of the {len(services)} services of the connection took it")


def _apprise_kind(kind: Kind) -> NotifyType:
    from apprise import NotifyType

    return NotifyType(kind)


_SENDERS: Mapping[str, Callable[[Message, Channel], None]] = {
    "smtp": _send_mail,
    "slack": _send_to_slack,
    "apprise": _send_by_apprise,
}

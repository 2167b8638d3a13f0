"""What the tasks of the DAG `maintenance` call."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchlib.orchestration.notify import Channel, notify
from benchlib.orchestration.retention import Pruned, Rule, prune_host
from benchlib.orchestration.stored_programs import prune_store
from benchlib.report.notifications import left_to_people
from benchlib.settings import Settings
from benchlib.store.database import engine_for
from benchlib.store.errors import DatabaseUnreachable
from benchlib.store.notices import tell_once

log = logging.getLogger(__name__)


def prune_programs(params: Mapping[str, Any]) -> dict[str, Any]:
    """Remove old programs from the artifact store; returns what went, ready for JSON."""
    return _summary(prune_store(Settings.from_environment(), _rule(params)))


def prune_files(params: Mapping[str, Any], channels: Sequence[Channel]) -> dict[str, Any]:
    """Remove old files of this host; people are told once of what only they may remove.

    A dry run tells nobody.
    """
    from airflow.configuration import conf

    settings, rule = Settings.from_environment(), _rule(params)
    logs = Path(str(conf.get("logging", "base_log_folder")))
    pruned = prune_host(settings, rule, airflow_logs=logs)
    if pruned.for_people and not rule.dry_run:
        _tell(settings, pruned.for_people, channels)
    return _summary(pruned)


def _rule(params: Mapping[str, Any]) -> Rule:
    return Rule.keeping(params["keep_days"], dry_run=params["dry_run"])


def _tell(settings: Settings, sentences: Sequence[str], channels: Sequence[Channel]) -> None:
    host = socket.gethostname()
    subjects = {f"{host}: {sentence}": sentence for sentence in sentences}

    def tell(new: Sequence[str]) -> tuple[str, ...]:
        return notify(left_to_people(host, [subjects[subject] for subject in new]), channels)

    engine = engine_for(settings)
    try:
        tell_once(engine, list(subjects), tell)
    except DatabaseUnreachable as error:
        log.warning("nobody is told, because it is not known of what they have been told: %s", error)
    finally:
        engine.dispose()


def _summary(pruned: Pruned) -> dict[str, Any]:
    return {
        "removed": len(pruned.removed),
        "size_bytes": pruned.size_bytes,
        "for_people": len(pruned.for_people),
    }

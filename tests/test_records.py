"""Sweep ids are the same everywhere, so that a retry or a replay finds its own rows."""

from __future__ import annotations

from benchlib.records import sweep_id_of


def test_the_same_run_has_the_same_id_and_others_do_not() -> None:
    assert sweep_id_of("inf2_batch_sweep", "r1") == sweep_id_of("inf2_batch_sweep", "r1")
    ids = {sweep_id_of("a", "bc"), sweep_id_of("ab", "c"), sweep_id_of("a", "b"), sweep_id_of("a\nb", "c")}
    assert len(ids) == 4


def test_the_id_never_changes_between_versions() -> None:
    assert str(sweep_id_of("inf2_batch_sweep", "manual__1")) == "314ad364-a900-5ffa-8de9-0f6e3058073a"

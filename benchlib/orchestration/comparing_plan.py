"""Which pair comes next, and what the pairs that are there can decide: nothing is done here, all decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchlib.analysis.paired import Family, Side, judge_pairs, pairs_wanted
from benchlib.experiments import HARNESS_CHECKS, VOID_AT_MOST, ComparisonSpec, PairRecord, Problem
from benchlib.orchestration.comparing_journal import SIDES, CompiledSide


@dataclass(frozen=True)
class Turns:
    """The next pair: which batch sizes take part, as which of their pairs, and which side begins."""

    numbers: Mapping[int, int]
    """Batch size to pair number. Several: one process of each side measures all of them in turns."""
    first: Side

    @property
    def order(self) -> tuple[Side, Side]:
        """A B, or B A."""
        return SIDES if self.first == "old" else (SIDES[1], SIDES[0])


def family_of(spec: ComparisonSpec, pairs: Sequence[PairRecord], problems: Sequence[Problem]) -> Family:
    """The judgements on the pairs that count, of batch sizes that both sides can do.

    What was measured before one side broke off is judged too: beside the problem it can make a loss, but no
    *no worse*.
    """
    without = {each.batch_size for each in problems if each.side != "both" and each.stage != "harness"}
    usable = [pair.figures() for pair in pairs if not pair.unusable and pair.batch_size not in without]
    return judge_pairs(usable, spec.limits)


def next_turns(spec: ComparisonSpec, sizes: Sequence[int], done: Sequence[PairRecord]) -> Turns | None:
    """Which pair comes next, given those that are there; ``None``: the experiment is over.

    Of the batch sizes that need more pairs the one that has had the fewest comes next: so all of them are
    spread over the whole time. The side that begins changes with every pair of a batch size.
    """
    alive = [size for size in sizes if _void_streak(done, size) is None]
    usable = [pair.figures() for pair in done if not pair.unusable and pair.batch_size in alive]
    wanted = pairs_wanted(usable, alive, spec.limits) if alive else {}
    tried = {size: sum(pair.batch_size == size for pair in done) for size in alive}
    has = {size: sum(pair.batch_size == size for pair in usable) for size in alive}
    lacking = sorted(
        (size for size in alive if has[size] < wanted[size]), key=lambda size: (tried[size], size)
    )
    if not lacking:
        return None
    taking_part = sorted(lacking) if spec.sweep.load.interleave else lacking[:1]
    numbers = {size: tried[size] + 1 for size in taking_part}
    return Turns(numbers, "old" if numbers[taking_part[0]] % 2 else "new")


def problems_of(
    spec: ComparisonSpec, sides: Mapping[Side, CompiledSide], pairs: Sequence[PairRecord]
) -> tuple[Problem, ...]:
    """Why some batch sizes could not be compared, one problem each."""
    found = []
    for size in spec.sweep.batch_sizes:
        failed = [p for side in SIDES for p in sides[side].problems if p.batch_size == size]
        streak = _void_streak(pairs, size)
        if failed:
            found.append(failed[0] if len(failed) == 1 else failed[0].model_copy(update={"side": "both"}))
        elif streak is not None:
            found.append(streak)
        elif (hidden := _hidden(pairs, size)) is not None:
            found.append(hidden)
    return tuple(found)


def broken_off(pairs: Sequence[PairRecord], size: int) -> str | None:
    """Why neither side can be measured any more, though both could before; ``None``: it is not so.

    That is the host, the store or the device: a comparison that is not finished, and no verdict.
    """
    streak = _streak(pairs, size)
    if not streak or not _usable_before(pairs, streak) or not all(_sides_that_failed(streak)):
        return None
    return f"neither side can be measured any more at batch size {size} ({streak[-1].unusable})"


def comparable_sizes(spec: ComparisonSpec, sides: Mapping[Side, CompiledSide]) -> list[int]:
    """The batch sizes of which both sides have a program."""
    return [s for s in spec.sweep.batch_sizes if all(sides[side].program(s) for side in SIDES)]


def _void_streak(pairs: Sequence[PairRecord], size: int) -> Problem | None:
    """Why a batch size is given up: so many unusable pairs in a row that more would be no use."""
    streak = _streak(pairs, size)
    return _problem_of(streak, _usable_before(pairs, streak)) if streak else None


def _streak(pairs: Sequence[PairRecord], size: int) -> Sequence[PairRecord]:
    own = sorted((pair for pair in pairs if pair.batch_size == size), key=lambda pair: pair.number)
    for start in range(len(own) - VOID_AT_MOST + 1):
        streak = own[start : start + VOID_AT_MOST]
        if all(pair.unusable for pair in streak):
            return streak
    return ()


def _usable_before(pairs: Sequence[PairRecord], streak: Sequence[PairRecord]) -> int:
    first = streak[0]
    return sum(
        pair.batch_size == first.batch_size and pair.number < first.number and not pair.unusable
        for pair in pairs
    )


def _hidden(pairs: Sequence[PairRecord], size: int) -> Problem | None:
    """Most pairs of a batch size had the load generator in them, which is the same on both sides."""
    own = [pair for pair in pairs if pair.batch_size == size and not pair.unusable]
    failed = [HARNESS_CHECKS & {*pair.old.failed_checks, *pair.new.failed_checks} for pair in own]
    hit = [names for names in failed if names]
    if 2 * len(hit) <= len(own):
        return None
    names = ", ".join(sorted(set.union(*map(set, hit))))
    reason = f"the load generator was part of what {len(hit)} of {len(own)} pairs measured ({names})"
    return Problem(batch_size=size, side="both", stage="harness", reason=f"{reason}: it hides differences")


def _problem_of(streak: Sequence[PairRecord], usable_before: int) -> Problem:
    """A side that could do it at first and then could not is not known to be unable."""
    old, new = _sides_that_failed(streak)
    both = (old and new) or usable_before > 0
    before = f"after {usable_before} usable ones " if usable_before else ""
    return Problem(
        batch_size=streak[-1].batch_size,
        side="both" if both else "old" if old else "new",
        stage="measure",
        reason=f"{before}{len(streak)} pairs in a row could not be used; the last: {streak[-1].unusable}",
    )


def _sides_that_failed(streak: Sequence[PairRecord]) -> tuple[bool, bool]:
    old, new = (any(getattr(pair, side).unusable for pair in streak) for side in SIDES)
    return old, new

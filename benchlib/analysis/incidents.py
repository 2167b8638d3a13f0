"""Which shifts belong together, and what the detector itself says of where an incident stands.

An incident is all that one configuration did in one direction within three nights, so that an upgrade that
slows down ten batch sizes in four metrics is one thing to look at, not forty. What undoes it belongs to it
too, and what brings it back. Pure: findings and what is stored go in, what is to be written comes out.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from benchlib.analysis.findings import NEARBY_NIGHTS, Finding

Direction = Literal["worse", "better"]
Automatic = Literal["suspect", "confirmed", "recovered", "reopened"]
"""What the detector says by itself; everything else is for people to say."""

SAME_LEVEL: Final = 1 / 3
"""Two levels are the same when they differ by less than this part of the shift."""

MOST_ENDED: Final = 0.5
"""An incident is over when at least so many of its series and metrics are back."""

LONGEST_TEST: Final = 10
"""So many nights later at the latest, the scan tells what it can tell."""

UNSETTLED: Final = ("suspect", "confirmed", "acknowledged", "reopened")

ACCEPTED_WITHIN_NIGHTS: Final = 1
"""A baseline that begins anew later than this leaves a night that has told whether what was far off lasts."""

Accepted = Mapping[uuid.UUID | None, Sequence[date]]
"""Series, ``None`` for the geometric mean, to the nights with which a person made its baseline begin anew."""

GONE: Final = ("recovered", "fixed", "false_alarm")
"""What stands so does not go on."""


@dataclass(frozen=True)
class Shift:
    """A change that is stored."""

    change_id: int
    series_id: uuid.UUID | None
    metric: str
    direction: Direction
    first_bad_night: date
    before_value: float
    after_value: float
    suspect: bool
    """One night only, so far."""
    single: bool
    """Judged by one night, measured twice or not."""


@dataclass(frozen=True)
class Known:
    """An incident that is stored."""

    incident_id: int
    direction: Direction
    status: str
    changes: tuple[Shift, ...]


@dataclass
class Group:
    """An incident as it should be; ``known`` is ``None`` for a new one."""

    direction: Direction
    known: Known | None = None
    matched: dict[int, Finding] = field(default_factory=dict)
    """Id of a stored change to the finding that it is, as found now."""
    new: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found of it now."""
        return (*self.matched.values(), *self.new)

    @property
    def members(self) -> tuple[Finding | Shift, ...]:
        """Its changes: as found now, or else as stored."""
        stored = self.known.changes if self.known else ()
        kept = tuple(each for each in stored if each.change_id not in self.matched)
        return (*kept, *self.findings)

    @property
    def headline(self) -> Finding | None:
        """What leads it, among what was found now: of its own direction and its first nights."""
        own = [each for each in self.findings if each.direction == self.direction]
        if not own:
            return None
        begins = min(each.first_bad_night for each in own)
        return min(
            (each for each in own if (each.first_bad_night - begins).days <= NEARBY_NIGHTS),
            key=lambda each: each.rank,
        )

    @property
    def status(self) -> str | None:
        """Where it stands so far; ``None``: nobody has said anything."""
        return self.known.status if self.known else None


@dataclass(frozen=True)
class Transition:
    """What the detector says of an incident."""

    status: Automatic
    reason: str


def group(findings: Iterable[Finding], known: Sequence[Known]) -> list[Group]:
    """The incidents of one configuration: those that are stored, with what was found, and new ones.

    In the order of the nights: a finding is a stored change again, the nearest one; or what undoes one, or
    brings it back; or belongs to whatever else happened in its direction within three nights; or is new.
    One night never takes the place of what several nights told.
    """
    groups = [Group(each.direction, each) for each in known]
    ordered = sorted(findings, key=lambda one: (one.first_bad_night, one.rank))
    again = _again(groups, ordered)
    for at, (home, shift) in again.items():
        if _weight(ordered[at]) >= _weight(shift):
            home.matched[shift.change_id] = ordered[at]
    rest = [each for at, each in enumerate(ordered) if at not in again and not _contradicted(known, each)]
    for cluster in _clusters(rest):
        left = cluster
        for home_of in (_undone, _back, _beside):
            left = [each for each in left if not _taken(home_of(groups, each), each)]
        left = [each for each in left if not (each.suspect and _is_explained(groups, each))]
        if left:
            groups.append(Group(left[0].direction, new=left))
    return groups


def _clusters(findings: Sequence[Finding]) -> list[list[Finding]]:
    """What happened in one direction within three nights, in the order of the nights."""
    clusters: list[list[Finding]] = []
    for each in findings:
        for cluster in clusters:
            near = (each.first_bad_night - cluster[0].first_bad_night).days <= NEARBY_NIGHTS
            if near and cluster[0].direction == each.direction:
                cluster.append(each)
                break
        else:
            clusters.append([each])
    return clusters


def _is_explained(groups: Iterable[Group], finding: Finding) -> bool:
    """Whether a single night is far off because of something that has begun lately and goes on."""
    for home in groups:
        if home.status in GONE:
            continue
        ago = [(finding.first_bad_night - each.first_bad_night).days for each in home.members]
        goes_on = all(each.direction == finding.direction for each in home.members)
        if goes_on and ago and 0 <= min(ago) <= LONGEST_TEST:
            return True
    return False


def _taken(home: Group | None, finding: Finding) -> bool:
    if home is not None:
        home.new.append(finding)
    return home is not None


def _again(groups: Iterable[Group], findings: Sequence[Finding]) -> dict[int, tuple[Group, Shift]]:
    """Place of a finding to the stored change that it is: the nearest pairs first, each only once."""
    stored = [(home, shift) for home in groups for shift in (home.known.changes if home.known else ())]
    pairs = [
        (_nights_apart(shift, each), shift.change_id, at, home, shift)
        for at, each in enumerate(findings)
        for home, shift in stored
        if _same_subject(shift, each) and shift.direction == each.direction
    ]
    found: dict[int, tuple[Group, Shift]] = {}
    taken: set[int] = set()
    for apart, change_id, at, home, shift in sorted(pairs, key=lambda pair: pair[:3]):
        is_free = at not in found and change_id not in taken and apart <= NEARBY_NIGHTS
        if is_free and (apart == 0 or not _contradicted([one.known for one in groups], findings[at])):
            found[at] = (home, shift)
            taken.add(change_id)
    return found


def _nights_apart(one: Finding | Shift, other: Finding | Shift) -> int:
    return abs((one.first_bad_night - other.first_bad_night).days)


def _weight(of: Finding | Shift) -> int:
    """How much is known of it: 0 of one night only, 1 of a night measured twice, 2 of several nights."""
    return 0 if of.suspect else 1 if of.single else 2


def _contradicted(known: Iterable[Known | None], finding: Finding) -> bool:
    """Whether the opposite is stored of the same night, by a person or by other thresholds: that stays."""
    stored = (shift for incident in known if incident for shift in incident.changes)
    return any(
        _same_subject(each, finding) and each.first_bad_night == finding.first_bad_night for each in stored
    )


def _undone(groups: Iterable[Group], finding: Finding) -> Group | None:
    """The incident whose latest change of the same figure this one takes back."""
    for home in reversed(list(groups)):
        last = _latest(home, finding)
        if last is None or last.direction != home.direction or finding.direction == home.direction:
            continue
        if _same_level(finding.after_value, last.before_value, last):
            return home
    return None


def _back(groups: Iterable[Group], finding: Finding) -> Group | None:
    """The incident that was over, and whose level this is again."""
    for home in reversed(list(groups)):
        last = _latest(home, finding)
        if last is None or finding.direction != home.direction or last.direction == home.direction:
            continue
        onset = _latest(home, finding, home.direction)
        if onset is not None and _same_level(finding.after_value, onset.after_value, onset):
            return home
    return None


def _beside(groups: Iterable[Group], finding: Finding) -> Group | None:
    """The incident that began in this direction within three nights; of what is settled, that very night.

    What ended an incident is no part of what began then; and what nobody looks at any more hides nothing new.
    """
    for home in reversed(list(groups)):
        within = NEARBY_NIGHTS if home.status is None or home.status in UNSETTLED else 0
        own = [each for each in home.members if each.direction == home.direction == finding.direction]
        if any(_nights_apart(each, finding) <= within for each in own):
            return home
    return None


def _latest(home: Group, finding: Finding, direction: Direction | None = None) -> Finding | Shift | None:
    """The last change of the same figure before this one."""
    earlier = [
        each
        for each in home.members
        if _same_subject(each, finding)
        and each.first_bad_night < finding.first_bad_night
        and direction in (None, each.direction)
    ]
    return max(earlier, key=lambda each: each.first_bad_night) if earlier else None


def _same_subject(one: Finding | Shift, other: Finding | Shift) -> bool:
    return (one.series_id, one.metric) == (other.series_id, other.metric)


def _same_level(value: float, level: float, of: Finding | Shift) -> bool:
    return abs(value - level) <= SAME_LEVEL * abs(of.after_value - of.before_value)


def transition(home: Group, last_night: date, accepted: Accepted | None = None) -> Transition | None:
    """What the detector says of an incident now; ``None``: it stands as it stood.

    What a person settled stays so, but for one that is back after it was fixed. Nothing is said of nights
    after the last one, which were not looked at. Where a person accepted a level (``accepted``), the nights
    from there on do not tell whether one night far off lasted.
    """
    wanted = _wanted(home, last_night, accepted or {})
    status = home.status
    if wanted is None or status == wanted.status:
        return None
    if status is None and wanted.status == "reopened":
        return Transition("confirmed", wanted.reason)
    if status is None:
        return wanted
    if (status, wanted.status) == ("recovered", "confirmed"):
        return Transition("reopened", wanted.reason)
    allowed = {
        "suspect": (),
        "confirmed": ("suspect",),
        "recovered": UNSETTLED,
        "reopened": ("recovered", "fixed"),
    }
    return wanted if status in allowed[wanted.status] else None


def _wanted(home: Group, last_night: date, accepted: Accepted) -> Transition | None:
    own = [each for each in home.members if each.direction == home.direction]
    if not own:
        return None
    if all(each.suspect for each in own):
        return _of_suspects(own, last_night, accepted)
    latest = {(each.series_id, each.metric): each for each in sorted(home.members, key=_night)}
    subjects = {(each.series_id, each.metric) for each in own}
    ended = [
        each for subject, each in latest.items() if subject in subjects and each.direction != home.direction
    ]
    if len(ended) >= MOST_ENDED * len(subjects):
        since = min(each.first_bad_night for each in ended)
        return Transition("recovered", f"Back at the level of before since {since}.")
    undone = [each for each in home.members if each.direction != home.direction]
    again = [each for each in own if undone and each.first_bad_night > min(map(_night, undone))]
    if again or home.status == "fixed":
        return _of_return(again, home)
    return _of_onset([each for each in own if not each.suspect], home, last_night)


def _of_onset(lasting: Sequence[Finding | Shift], home: Group, last_night: date) -> Transition | None:
    begins = min(map(_night, lasting))
    if not all(each.single for each in lasting):
        return Transition("confirmed", f"A lasting shift, since {begins}.")
    if (last_night - max(map(_night, lasting))).days > LONGEST_TEST:
        return Transition("recovered", f"Measured twice on {begins}, but not seen since: nothing that lasts.")
    if home.status == "recovered" and not any(each is new for each in lasting for new in home.new):
        return None  # seen from an earlier night, which does not bring it back
    return Transition(
        "confirmed", f"Measured twice on {begins}, and as far off again; not yet known to last."
    )


def _night(member: Finding | Shift) -> date:
    return member.first_bad_night


def _of_return(again: Sequence[Finding | Shift], home: Group) -> Transition | None:
    """A person's word that it is fixed stands until there is a new shift to the old level."""
    if not again or (home.status == "fixed" and not any(each is new for each in again for new in home.new)):
        return None
    since = max(map(_night, again))
    return Transition("reopened", f"At the same level again since {since}.")


def _of_suspects(own: Sequence[Finding | Shift], last_night: date, accepted: Accepted) -> Transition | None:
    night = max(map(_night, own))
    if night > last_night:
        return None
    if any(isinstance(each, Finding) for each in own):  # else it was found once, and is not any more
        return Transition("suspect", f"One night far off, {night}: not yet known whether it lasts.")
    since = [begins for each in own if (begins := _accepted_since(each, accepted)) is not None]
    if len(since) == len(own):
        return Transition(
            "recovered", f"One night far off, {night}; the level since {min(since)} was accepted."
        )
    return Transition("recovered", f"One night only, {night}: an outlier, nothing that lasts.")


def _accepted_since(member: Finding | Shift, accepted: Accepted) -> date | None:
    """The night with which a person took what this one shows for the new level; ``None``: nobody did."""
    nights = accepted.get(member.series_id, ())
    ago = {(each - member.first_bad_night).days: each for each in nights}
    return next((ago[days] for days in range(ACCEPTED_WITHIN_NIGHTS + 1) if days in ago), None)

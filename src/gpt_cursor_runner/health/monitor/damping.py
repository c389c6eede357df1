"""How a run changes what counts: pure.

A fact counts at once; noise counts when enough runs in a row agree. A check
that keeps changing its mind is flapping, and then its worse word counts. The
flap rule is Nagios's: of the last 21 results the changes are weighed, the
latest the most; 50 % begins it and 25 % ends it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from gpt_cursor_runner.health.monitor.model import SEVERITY, CheckState, Reading, Status

_REMEMBERED = 21
_FLAPPING_FROM = 0.50
_FLAPPING_UNTIL = 0.25
_WEIGHTS = [0.8 + 0.4 * place / (_REMEMBERED - 2) for place in range(_REMEMBERED - 1)]


def settle(state: CheckState, found: Reading, finished_at: float) -> CheckState:
    """The state after a run that found `found` and ended at `finished_at`.

    A run that outlived its deadline was already shown as late; whatever it
    found at last is too old to count.
    """
    duration = finished_at - (
        state.running_since if state.running_since is not None else finished_at
    )
    raw = found if duration <= state.spec.deadline_seconds else _late(found, duration)
    if _may_be_starting(state, finished_at) and not _fine(raw):
        raw = replace(raw, status=Status.UNKNOWN, code="starting", fact=True)
    recent = (*state.recent, raw.status)[-_REMEMBERED:]
    flapping = flaps(recent, state.flapping)
    counts, disagreeing = _worse(state, raw) if flapping else _what_counts(state, raw)
    before = state.reading.status if state.reading else None
    return replace(
        state,
        reading=counts,
        raw=raw,
        disagreeing_runs=disagreeing,
        running_since=None,
        finished_at=finished_at,
        duration_seconds=duration,
        consecutive_failures=0 if _fine(raw) else state.consecutive_failures + 1,
        last_ok_at=finished_at if _fine(raw) else state.last_ok_at,
        since_at=state.since_at if before is counts.status else finished_at,
        recent=recent,
        flapping=flapping,
    )


def flaps(recent: tuple[Status, ...], already: bool) -> bool:
    """Whether these results, the oldest first, change too often to be believed
    one by one.
    """
    changes = [one is not next_one for one, next_one in pairwise(recent)]
    weighed = sum(
        weight
        for weight, changed in zip(_WEIGHTS[-len(changes) :], changes, strict=False)
        if changed
    )
    share = weighed / (_REMEMBERED - 1)
    return share >= _FLAPPING_UNTIL if already else share >= _FLAPPING_FROM


def _what_counts(state: CheckState, raw: Reading) -> tuple[Reading, int]:
    never_well = (
        state.last_ok_at is None
    )  # while a part comes up, its first good word ends the wait
    if state.reading is None or raw.fact or never_well or raw.status is state.reading.status:
        return raw, 0
    enough = state.spec.rise if _fine(raw) and not _fine(state.reading) else state.spec.fall
    if state.disagreeing_runs + 1 >= enough:
        return raw, 0
    return state.reading, state.disagreeing_runs + 1


def _worse(state: CheckState, raw: Reading) -> tuple[Reading, int]:
    before = state.reading or raw
    return (raw if SEVERITY[raw.status] >= SEVERITY[before.status] else before), 0


def _may_be_starting(state: CheckState, now: float) -> bool:
    return state.last_ok_at is None and now - state.watched_since < state.spec.grace_seconds


def _fine(reading: Reading) -> bool:
    return reading.status in (Status.OK, Status.WARN)


def _late(found: Reading, duration: float) -> Reading:
    message = f"the run took {duration:.1f} s and then found: {found.code}"
    return Reading(Status.UNKNOWN, "late", message, found.data, found.remedy, fact=True)

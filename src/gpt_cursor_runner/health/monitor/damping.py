"""Decides which reading of a check counts after a run: pure.

A fact counts at once; any other reading counts when enough runs in a row agree.
A check whose status changes often is flapping, and then its worse status
counts.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from gpt_cursor_runner.health.monitor.codes import COMMON_CODES
from gpt_cursor_runner.health.monitor.model import SEVERITY, CheckState, CheckStatus, Reading

# Nagios's rule for flapping: of the last 21 results each change weighs from 0.8
# (the oldest) to 1.2 (the latest). Two limits, so that a check near one of them
# does not enter and leave the state with every run.
_RESULTS_KEPT = 21
_FLAPPING_FROM = 0.50
_FLAPPING_UNTIL = 0.25
_WEIGHTS = [0.8 + 0.4 * place / (_RESULTS_KEPT - 2) for place in range(_RESULTS_KEPT - 1)]


def settle(state: CheckState, reading: Reading, finished_at: float) -> CheckState:
    """The state of a check after a run that returned `reading` at `finished_at`."""
    duration = state.running_seconds(finished_at)
    raw = _raw_reading(state, reading, duration, finished_at)
    recent = (*state.recent, raw.status)[-_RESULTS_KEPT:]
    flapping = is_flapping(recent, state.flapping)
    if flapping:
        counted, disagreeing_runs = _worse(state.reading, raw), 0
    else:
        counted, disagreeing_runs = _damped(state, raw)
    since_at = state.since_at
    if state.reading is None or state.reading.status is not counted.status:
        since_at = finished_at
    failures, last_ok_at = state.consecutive_failures + 1, state.last_ok_at
    if raw.proven:
        failures, last_ok_at = 0, finished_at
    return replace(
        state,
        reading=counted,
        raw=raw,
        disagreeing_runs=disagreeing_runs,
        running_since=None,
        finished_at=finished_at,
        duration_seconds=duration,
        consecutive_failures=failures,
        last_ok_at=last_ok_at,
        since_at=since_at,
        recent=recent,
        flapping=flapping,
    )


def is_flapping(recent: tuple[CheckStatus, ...], was_flapping: bool) -> bool:
    """Whether the results, the oldest first, change too often to count one by
    one.
    """
    changes = [before is not after for before, after in pairwise(recent)]
    weights = _WEIGHTS[len(_WEIGHTS) - len(changes) :]
    weight = sum(weight for weight, changed in zip(weights, changes, strict=True) if changed)
    share = weight / (_RESULTS_KEPT - 1)
    return share >= (_FLAPPING_UNTIL if was_flapping else _FLAPPING_FROM)


def _raw_reading(
    state: CheckState, reading: Reading, duration: float, finished_at: float
) -> Reading:
    raw = reading
    if duration > state.spec.deadline_seconds:
        # Readers have seen this run as late; its result is too old to count.
        message = f"the run took {duration:.1f} s; its result was: {reading.code}"
        raw = COMMON_CODES.recode(replace(reading, message=message), "late")
    if _is_within_grace(state, finished_at) and not raw.proven:
        raw = COMMON_CODES.recode(raw, "starting")
    return raw


def _damped(state: CheckState, raw: Reading) -> tuple[Reading, int]:
    """The reading that counts, and how many runs in a row have disagreed with
    it.
    """
    if state.reading is None or raw.fact or raw.status is state.reading.status:
        return raw, 0
    # While a part starts, its first good run ends the wait.
    if state.last_ok_at is None:
        return raw, 0
    recovers = raw.proven and not state.reading.proven
    needed = state.spec.rise if recovers else state.spec.fall
    if state.disagreeing_runs + 1 >= needed:
        return raw, 0
    return state.reading, state.disagreeing_runs + 1


def _worse(counted: Reading | None, raw: Reading) -> Reading:
    if counted is None or SEVERITY[raw.status] >= SEVERITY[counted.status]:
        return raw
    return counted


def _is_within_grace(state: CheckState, now: float) -> bool:
    return state.last_ok_at is None and now - state.watched_since < state.spec.grace_seconds

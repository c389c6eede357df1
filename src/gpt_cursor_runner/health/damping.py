"""How a run changes what counts: pure."""

from __future__ import annotations

from dataclasses import replace

from gpt_cursor_runner.health.model import CheckState, Reading, Status

_AGREEING_RUNS = 2  # both to fall and to rise


def settle(state: CheckState, found: Reading, finished_at: float, wall: float) -> CheckState:
    """The state after a run that found `found` and ended at `finished_at`.

    A run that outlived its deadline was already shown as late; whatever it found at last is too old to count.
    """
    duration = finished_at - (state.running_since if state.running_since is not None else finished_at)
    raw = found if duration <= state.deadline_seconds else _late(found, duration)
    counts, disagreeing = _what_counts(state, raw)
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
        last_ok_wall=wall if _fine(raw) else state.last_ok_wall,
        since_wall=state.since_wall if before is counts.status else wall,
    )


def _what_counts(state: CheckState, raw: Reading) -> tuple[Reading, int]:
    never_well = state.last_ok_wall is None  # while a part comes up, its first good word ends the wait
    if state.reading is None or raw.fact or never_well or raw.status is state.reading.status:
        return raw, 0
    if state.disagreeing_runs + 1 >= _AGREEING_RUNS:
        return raw, 0
    return state.reading, state.disagreeing_runs + 1


def _fine(reading: Reading) -> bool:
    return reading.status in (Status.OK, Status.WARN)


def _late(found: Reading, duration: float) -> Reading:
    message = f"the run took {duration:.1f} s and then found: {found.code}"
    return Reading(Status.UNKNOWN, "late", message, found.data, found.remedy, fact=True)

"""From a snapshot to a verdict: pure, done when somebody asks, so that an old
reading cannot pass for fresh.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gpt_cursor_runner.health.monitor.model import (
    SEVERITY,
    CheckState,
    Criticality,
    Overall,
    Snapshot,
    Status,
)

# The monitor ticks several times a second. This much silence is no busy
# machine: the machinery is dead or frozen.
ENGINE_STALE_SECONDS = 5.0


@dataclass(frozen=True)
class ProbeResult:
    """One check as it counts now."""

    state: CheckState
    status: Status
    code: str
    stale: bool = False
    stuck_for_seconds: float = 0.0

    @property
    def critical(self) -> bool:
        """Without this part no patch can be taken and stored."""
        return self.state.spec.criticality is Criticality.CRITICAL

    @property
    def proven(self) -> bool:
        """The part works; there may be something to say about it."""
        return self.status in (Status.OK, Status.WARN)


@dataclass(frozen=True)
class Verdict:
    """What a snapshot comes to. It stays true for the same snapshot until
    `valid_until` (monotonic).
    """

    overall: Overall
    reasons: tuple[str, ...]
    checks: tuple[ProbeResult, ...]
    engine_alive: bool
    valid_until: float
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether a patch can be accepted and stored, now and for a while."""
        return (
            self.engine_alive
            and not self.draining
            and all(one.proven for one in self.checks if one.critical)
        )

    @property
    def started(self) -> bool:
        """Whether every critical check has run at least once."""
        return all(one.state.finished_at is not None for one in self.checks if one.critical)


def judge(snapshot: Snapshot, now: float, without: Collection[str] = ()) -> Verdict:
    """Fold the checks, but for those `without`, into one word: error > unknown
    > degraded > healthy.

    All reasons are listed, the worst first.
    """
    states = [state for state in snapshot.checks if state.name not in without]
    checks = tuple(judge_check(state, snapshot.ticked_at, now) for state in states)
    engine_alive = now - snapshot.ticked_at <= ENGINE_STALE_SECONDS
    troubled = sorted(
        (one for one in checks if one.status is not Status.OK), key=_weight, reverse=True
    )
    return Verdict(
        overall=_overall(troubled, snapshot.draining) if engine_alive else Overall.ERROR,
        reasons=(
            *(() if engine_alive else ("health_engine.stale",)),
            *(f"{one.state.name}.{one.code}" for one in troubled),
            *(("gateway.draining",) if snapshot.draining else ()),
        ),
        checks=checks,
        engine_alive=engine_alive,
        valid_until=min([snapshot.ticked_at + ENGINE_STALE_SECONDS, *_expiries(checks, now)]),
        draining=snapshot.draining,
    )


def judge_check(state: CheckState, ticked_at: float, now: float) -> ProbeResult:
    """One check now. Lateness is judged as of the tick, which is the last
    moment the run was seen under way.
    """
    running_for = 0.0 if state.running_since is None else ticked_at - state.running_since
    late = running_for > state.spec.deadline_seconds
    stale = now > _expiry(state)
    if late:
        return ProbeResult(state, Status.UNKNOWN, "late", stale, round(running_for, 3))
    if stale:
        return ProbeResult(state, Status.UNKNOWN, "stale", stale)
    if state.reading is None:
        return ProbeResult(state, Status.UNKNOWN, "starting")
    if state.flapping and state.reading.status is Status.OK:
        return ProbeResult(state, Status.WARN, "flapping")
    return ProbeResult(state, state.reading.status, state.reading.code)


def _overall(troubled: list[ProbeResult], draining: bool) -> Overall:
    if any(one.critical and not one.proven for one in troubled):
        return Overall.UNKNOWN
    return Overall.DEGRADED if troubled or draining else Overall.HEALTHY


def _weight(one: ProbeResult) -> tuple[bool, int]:
    return one.critical and not one.proven, SEVERITY[one.status]


def _expiry(state: CheckState) -> float:
    seen_at = state.watched_since if state.finished_at is None else state.finished_at
    return seen_at + state.spec.stale_after_seconds


def _expiries(checks: tuple[ProbeResult, ...], now: float) -> list[float]:
    return [expiry for one in checks if (expiry := _expiry(one.state)) >= now]

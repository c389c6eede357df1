"""Turns a snapshot into a verdict: pure, called at the moment of use, so that an
old reading cannot pass for a fresh one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gpt_cursor_runner.health.monitor.codes import COMMON_CODES
from gpt_cursor_runner.health.monitor.model import (
    SEVERITY,
    CheckState,
    CheckStatus,
    Criticality,
    Overall,
    Snapshot,
)

# The monitor ticks four times a second. No busy machine explains a silence of
# twenty ticks: the monitor is dead or the process is frozen.
ENGINE_STALE_SECONDS = 5.0


@dataclass(frozen=True)
class ProbeResult:
    """The status and code of one check now."""

    state: CheckState
    status: CheckStatus
    code: str
    stale: bool = False
    stuck_for_seconds: float = 0.0

    @property
    def critical(self) -> bool:
        """Whether no patch can be accepted and stored without this part."""
        return self.state.spec.criticality is Criticality.CRITICAL

    @property
    def proven(self) -> bool:
        """Whether the part works, possibly with a warning."""
        return self.status in (CheckStatus.OK, CheckStatus.WARN)

    @property
    def blocking(self) -> bool:
        """Whether patches must not be sent now because of this part."""
        return self.critical and not self.proven


@dataclass(frozen=True)
class Verdict:
    """The judgement of a snapshot. For the same snapshot it stays valid until
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
        """Whether a patch can be accepted and stored."""
        if self.draining or not self.engine_alive:
            return False
        return not any(result.blocking for result in self.checks)

    @property
    def started(self) -> bool:
        """Whether every critical check has run at least once."""
        critical = [result for result in self.checks if result.critical]
        return all(result.state.finished_at is not None for result in critical)


def judge(snapshot: Snapshot, now: float, without: Collection[str] = ()) -> Verdict:
    """Combine the checks, except those named in `without`, into one word: error
    > unknown > degraded > healthy.

    The reasons list every check that is not ok, the worst first.
    """
    states = [state for state in snapshot.checks if state.name not in without]
    results = tuple(judge_check(state, snapshot.ticked_at, now) for state in states)
    troubled = _worst_first(results)
    reasons = [f"{result.state.name}.{result.code}" for result in troubled]
    overall = _overall(troubled, snapshot.draining)
    engine_alive = now - snapshot.ticked_at <= ENGINE_STALE_SECONDS
    if not engine_alive:
        # The readings of a dead monitor prove nothing, also the good ones.
        overall = Overall.ERROR
        reasons.insert(0, "health_engine.stale")
    if snapshot.draining:
        reasons.append("gateway.draining")
    return Verdict(
        overall=overall,
        reasons=tuple(reasons),
        checks=results,
        engine_alive=engine_alive,
        valid_until=_valid_until(snapshot.ticked_at, states, now),
        draining=snapshot.draining,
    )


def judge_check(state: CheckState, ticked_at: float, now: float) -> ProbeResult:
    """The result of one check at `now`.

    Lateness is judged as of the tick, which is the last moment at which the run
    was known to be under way.
    """
    running_seconds = state.running_seconds(ticked_at)
    stale = now > _expiry(state)
    if running_seconds > state.spec.deadline_seconds:
        return _common_result(state, "late", stale, round(running_seconds, 3))
    if stale:
        return _common_result(state, "stale", stale)
    if state.reading is None:
        return _common_result(state, "starting")
    if state.flapping and state.reading.status is CheckStatus.OK:
        return _common_result(state, "flapping")
    return ProbeResult(state, state.reading.status, state.reading.code)


def _common_result(
    state: CheckState, code: str, stale: bool = False, stuck_for_seconds: float = 0.0
) -> ProbeResult:
    status = COMMON_CODES[code].status
    return ProbeResult(state, status, code, stale, stuck_for_seconds)


def _overall(troubled: list[ProbeResult], draining: bool) -> Overall:
    if any(result.blocking for result in troubled):
        return Overall.UNKNOWN
    if troubled or draining:
        return Overall.DEGRADED
    return Overall.HEALTHY


def _worst_first(results: Iterable[ProbeResult]) -> list[ProbeResult]:
    troubled = [result for result in results if result.status is not CheckStatus.OK]
    troubled.sort(key=_weight, reverse=True)
    return troubled


def _weight(result: ProbeResult) -> tuple[bool, int]:
    return result.blocking, SEVERITY[result.status]


def _valid_until(ticked_at: float, states: list[CheckState], now: float) -> float:
    """The next moment at which time alone changes the verdict."""
    moments = [ticked_at + ENGINE_STALE_SECONDS]
    moments += [expiry for state in states if (expiry := _expiry(state)) >= now]
    return min(moments)


def _expiry(state: CheckState) -> float:
    last_read_at = state.watched_since if state.finished_at is None else state.finished_at
    return last_read_at + state.spec.stale_after_seconds

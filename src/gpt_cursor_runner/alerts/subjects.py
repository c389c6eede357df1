"""The state of every subject of a verdict: `overall`, and each check. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import CheckStatus

OVERALL = "overall"
# A cause is often detected a moment after the trouble that it causes.
HOLD_SECONDS = 6.0


@dataclass(frozen=True)
class SubjectState:
    """The state of one subject in one verdict.

    A new alert waits for `hold_seconds`, in which a cause may be detected. Once
    its cause works, the subject has `recovery_seconds` to become ok.
    """

    subject: str
    component: str
    status: str
    code: str
    in_trouble: bool
    works: bool
    severity: str
    causes: tuple[str, ...] = ()
    hold_seconds: float = HOLD_SECONDS
    recovery_seconds: float = 0.0
    flapping: bool = False

    @property
    def starting(self) -> bool:
        """Whether the subject has not been seen at work yet; it is neither ok
        nor in trouble.
        """
        return self.code == "starting"

    @property
    def is_failing_cause(self) -> bool:
        """Whether it may be the reason why another subject is in trouble."""
        return self.in_trouble and not self.works and not self.starting


def subject_states(verdict: Verdict) -> list[SubjectState]:
    """`overall` first, then every check."""
    intervals = {result.state.name: result.state.spec.interval_seconds for result in verdict.checks}
    states = [_overall_state(verdict)]
    states += [_check_state(result, intervals) for result in verdict.checks]
    return states


def _overall_state(verdict: Verdict) -> SubjectState:
    # `overall` is in trouble only when the monitor is dead. It is the cause of
    # every reading that becomes stale then, so that one alert is sent and not
    # one for each check.
    dead = not verdict.engine_alive
    return SubjectState(
        OVERALL,
        "health_engine",
        verdict.overall,
        verdict.reasons[0][:60] if verdict.reasons else "well",
        in_trouble=dead,
        works=not dead,
        severity="critical" if dead else "warning",
    )


def _check_state(result: ProbeResult, intervals: Mapping[str, float]) -> SubjectState:
    spec = result.state.spec
    severity = "warning"
    if result.critical and not result.proven:
        severity = "critical"
    cause_intervals = [intervals.get(cause, 0.0) for cause in spec.caused_by]
    return SubjectState(
        spec.name,
        spec.component,
        result.status,
        result.code,
        in_trouble=result.status is not CheckStatus.OK,
        works=result.proven,
        severity=severity,
        causes=(OVERALL, *spec.caused_by),
        # Every cause is probed at least once within the hold.
        hold_seconds=HOLD_SECONDS + max(cause_intervals, default=0.0),
        # The probe needs `rise` good runs before its reading counts as ok.
        recovery_seconds=spec.rise * spec.interval_seconds + spec.deadline_seconds,
        flapping=result.state.flapping,
    )

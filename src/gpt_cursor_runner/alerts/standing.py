"""How each subject of a verdict stands: every check, and the whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import Status

OVERALL = "overall"
# A cause may be noticed a moment after what it causes.
HOLD_SECONDS = 6.0


@dataclass(frozen=True)
class SubjectState:
    """One subject as it stands now. Within `patience_seconds` after its cause
    it proves itself well, or never does.
    """

    subject: str
    component: str
    status: str
    code: str
    ill: bool
    proven: bool
    severity: str
    causes: tuple[str, ...] = ()
    hold_seconds: float = HOLD_SECONDS
    patience_seconds: float = 0.0
    flapping: bool = False

    @property
    def starting(self) -> bool:
        """Not yet seen, or not yet seen at work; neither well nor ill."""
        return self.code == "starting"


def standings(verdict: Verdict) -> list[SubjectState]:
    """The whole first, then every check."""
    # Dead machinery is the cause of every reading that grows old with it: one
    # alert, not one for each check.
    dead = not verdict.engine_alive
    code = verdict.reasons[0][:60] if verdict.reasons else "well"
    severity = "critical" if dead else "warning"
    whole = SubjectState(
        OVERALL,
        "health_engine",
        verdict.overall,
        code,
        ill=dead,
        proven=not dead,
        severity=severity,
    )
    intervals = {one.state.name: one.state.spec.interval_seconds for one in verdict.checks}
    return [whole, *(_standing(one, intervals) for one in verdict.checks)]


def _standing(one: ProbeResult, intervals: Mapping[str, float]) -> SubjectState:
    spec = one.state.spec
    return SubjectState(
        spec.name,
        spec.component,
        one.status,
        one.code,
        ill=one.status is not Status.OK,
        proven=one.proven,
        severity="critical" if one.critical and not one.proven else "warning",
        causes=(OVERALL, *spec.caused_by),
        hold_seconds=HOLD_SECONDS
        + max((intervals.get(cause, 0.0) for cause in spec.caused_by), default=0.0),
        patience_seconds=spec.rise * spec.interval_seconds + spec.deadline_seconds,
        flapping=one.state.flapping,
    )

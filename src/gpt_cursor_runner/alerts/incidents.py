"""Compares each verdict with the one before: which states changed, which
incidents open and close, and which alerts are sent. Pure.

1. The state of every check, and of the gateway (`overall`), is compared with
   its last state. A change is a flip.
2. A check that leaves ok opens an incident; its return to ok closes
   the incident. A check that is starting does neither.
3. An alert about an incident waits for a hold. While a cause of the incident
   fails, the incident is muted, and alerts are sent about the cause only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gpt_cursor_runner.alerts.messages import AlertContext, alert_body
from gpt_cursor_runner.alerts.subjects import SubjectState, subject_states
from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.ledger.alerts import Alert, Flip, HistoryBatch, Incident

GATEWAY = "gateway"
REMOVED = "removed"
PASSED = "passed"

# An alert whose hold ends within this time may be sent before it is withdrawn.
_WITHDRAWAL_SECONDS = 3.0
_RANK = {"warning": 1, "critical": 2}


@dataclass(frozen=True)
class AlertPolicy:
    """Which sinks get alerts, from which severity on, and how often they are
    reminded; `remind_seconds` 0 is never.
    """

    sinks: tuple[str, ...]
    instance_id: str
    minimum_severity: str = "warning"
    remind_seconds: float = 4 * 3600.0


@dataclass(frozen=True)
class TrackedStates:
    """The last state of every subject, as (status, code), and its open incident
    if it has one.

    `flapping` and `cause_works_since` are about open incidents only: which
    subjects flap, and since when the cause that mutes one works again.
    """

    last: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    open: Mapping[str, Incident] = field(default_factory=dict)
    flapping: frozenset[str] = frozenset()
    cause_works_since: Mapping[str, float] = field(default_factory=dict)


def compare(
    tracked: TrackedStates,
    verdict: Verdict,
    now: float,
    new_id: Callable[[], str],
    policy: AlertPolicy,
    may_withdraw: bool = True,
) -> tuple[TrackedStates, HistoryBatch]:
    """Compare a verdict with the tracked states; returns the states after it,
    and the batch to record.

    `now` is epoch seconds. `may_withdraw` is False for a batch that cannot be
    recorded now: an alert that it withdraws may be sent until then.
    """
    comparison = _Comparison(tracked, verdict, now, new_id, policy, may_withdraw)
    comparison.update_subjects()
    comparison.close_removed_subjects()
    return comparison.tracked(), comparison.batch()


class _Comparison:
    """Collects the batch and the new states, subject by subject."""

    def __init__(
        self,
        before: TrackedStates,
        verdict: Verdict,
        now: float,
        new_id: Callable[[], str],
        policy: AlertPolicy,
        may_withdraw: bool,
    ) -> None:
        self._before = before
        self._states = {state.subject: state for state in subject_states(verdict)}
        self._overall = verdict.overall
        self._now = now
        self._new_id = new_id
        self._policy = policy
        self._may_withdraw = may_withdraw

        self._last = dict(before.last)
        self._open = dict(before.open)
        self._flapping = set(before.flapping)
        self._cause_works_since = dict(before.cause_works_since)

        self._flips: list[Flip] = []
        self._opened: list[Incident] = []
        self._closed: list[str] = []
        self._muted: dict[str, str | None] = {}
        self._reminded: dict[str, float] = {}
        self._escalated: dict[str, str] = {}
        self._alerts: list[Alert] = []

    def update_subjects(self) -> None:
        for state in self._states.values():
            self._update(state)

    def close_removed_subjects(self) -> None:
        """Close the incidents of checks that are no longer configured."""
        for subject in {**self._before.last, **self._before.open}:
            _, code = self._before.last.get(subject, ("", ""))
            if subject in self._states or subject == GATEWAY or code == REMOVED:
                continue
            removed = SubjectState(
                subject,
                subject,
                CheckStatus.UNKNOWN,
                REMOVED,
                in_trouble=False,
                works=False,
                severity="warning",
            )
            self._update(removed)

    def tracked(self) -> TrackedStates:
        return TrackedStates(
            self._last, self._open, frozenset(self._flapping), self._cause_works_since
        )

    def batch(self) -> HistoryBatch:
        return HistoryBatch(
            flips=tuple(self._flips),
            opened=tuple(self._opened),
            closed=tuple(self._closed),
            closed_at=self._now,
            muted=self._muted,
            reminded=self._reminded,
            escalated=self._escalated,
            alerts=tuple(self._alerts),
        )

    def _update(self, state: SubjectState) -> None:
        # The incident before the flip, which holds its id.
        incident = self._open.get(state.subject)
        # A check that is starting keeps its incident from before a restart: it
        # is not proven that the trouble is over, nor that it goes on.
        if not state.starting:
            incident = self._update_incident(state, incident)
        self._add_flip(state, incident)

    def _update_incident(self, state: SubjectState, incident: Incident | None) -> Incident | None:
        if state.in_trouble and incident is None:
            return self._open_incident(state)
        if incident is None:
            return None
        if state.in_trouble:
            return self._continue_incident(state, incident)
        self._close_incident(state, incident)
        return incident

    def _open_incident(self, state: SubjectState) -> Incident:
        incident = Incident(
            id=self._new_id(),
            subject=state.subject,
            severity=state.severity,
            code=state.code,
            opened_at=self._now,
            reminded_at=self._now,
            muted_by=self._failing_cause(state),
        )
        self._opened.append(incident)
        self._open[state.subject] = incident
        if state.flapping:
            self._flapping.add(state.subject)
        self._add_alerts(_first_kind(state), state, incident, state.hold_seconds)
        return incident

    def _continue_incident(self, state: SubjectState, incident: Incident) -> Incident:
        begins_to_flap = state.flapping and state.subject not in self._flapping
        if state.flapping:
            self._flapping.add(state.subject)
        else:
            self._flapping.discard(state.subject)
        incident = self._update_muting(state, incident)
        if begins_to_flap:
            self._add_alerts("flapping", state, incident)
        if _RANK[state.severity] > _RANK[incident.severity]:
            incident = self._escalate(state, incident)
        if self._reminder_is_due(incident):
            incident = self._remind(state, incident)
        return incident

    def _update_muting(self, state: SubjectState, incident: Incident) -> Incident:
        cause = self._failing_cause(state)
        if incident.muted_by is None:
            if cause is not None and self._may_mute(state, incident):
                return self._set_muted(incident, cause)
            return incident
        if cause is not None:
            self._cause_works_since.pop(state.subject, None)
            return incident
        works_since = self._cause_works_since.setdefault(state.subject, self._now)
        if self._now - works_since < state.recovery_seconds:
            return incident
        return self._unmute(state, incident)

    def _unmute(self, state: SubjectState, incident: Incident) -> Incident:
        del self._cause_works_since[state.subject]
        incident = self._set_muted(incident, None)
        hold_seconds = max(0.0, incident.opened_at + state.hold_seconds - self._now)
        self._add_alerts(_first_kind(state), state, incident, hold_seconds)
        return incident

    def _escalate(self, state: SubjectState, incident: Incident) -> Incident:
        incident = self._replace_open(replace(incident, severity=state.severity))
        self._escalated[incident.id] = state.severity
        if not state.flapping:
            self._add_alerts("trigger", state, incident, state.hold_seconds)
        return incident

    def _reminder_is_due(self, incident: Incident) -> bool:
        if incident.muted_by is not None or not self._policy.remind_seconds:
            return False
        return self._now - incident.reminded_at >= self._policy.remind_seconds

    def _remind(self, state: SubjectState, incident: Incident) -> Incident:
        incident = self._replace_open(replace(incident, reminded_at=self._now))
        self._reminded[incident.id] = self._now
        self._add_alerts("reminder", state, incident)
        return incident

    def _close_incident(self, state: SubjectState, incident: Incident) -> None:
        self._closed.append(incident.id)
        del self._open[state.subject]
        self._flapping.discard(state.subject)
        self._cause_works_since.pop(state.subject, None)
        if incident.muted_by is None and self._can_withdraw(state, incident):
            # To mute it deletes its triggers. None was sent, so that none has
            # to be resolved.
            self._muted[incident.id] = PASSED
        else:
            self._add_alerts("resolve", state, incident)

    def _add_flip(self, state: SubjectState, incident: Incident | None) -> None:
        status, code = self._last.get(state.subject, (None, None))
        # While a subject is ok, a new code is no flip.
        is_ok = state.status in (CheckStatus.OK, "healthy")
        if status == state.status and (is_ok or code == state.code):
            return
        self._last[state.subject] = (state.status, state.code)
        flip = Flip(
            subject=state.subject,
            status=state.status,
            code=state.code,
            before_status=status,
            before_code=code,
            at=self._now,
            instance_id=self._policy.instance_id,
            incident_id=incident.id if incident else None,
        )
        self._flips.append(flip)

    def _add_alerts(
        self, kind: str, state: SubjectState, incident: Incident, hold_seconds: float = 0.0
    ) -> None:
        """Add one alert for each sink, unless the incident is muted or below
        the minimum severity.
        """
        if incident.muted_by is not None:
            return
        if _RANK[incident.severity] < _RANK[self._policy.minimum_severity]:
            return
        context = AlertContext(
            kind=kind,
            component=state.component,
            severity=incident.severity,
            status=state.status,
            code=state.code,
            overall=self._overall,
            at=self._now,
        )
        # The key is computed from the incident, so that a batch that is
        # computed twice has the same alerts.
        lasted_ms = round(1000 * (self._now - incident.opened_at))
        for sink in self._policy.sinks:
            key = f"{incident.id}-{kind}-{lasted_ms}-{sink}"
            alert = Alert(
                key=key,
                sink=sink,
                incident_id=incident.id,
                subject=incident.subject,
                kind=kind,
                body=alert_body(key, incident, context, self._policy.instance_id),
                created_at=self._now,
                not_before=self._now + hold_seconds,
            )
            self._alerts.append(alert)

    def _failing_cause(self, state: SubjectState) -> str | None:
        """The first cause of the subject that fails and is at least as severe."""
        for name in state.causes:
            cause = self._states.get(name)
            if cause is None or not cause.is_failing_cause:
                continue
            if _RANK[cause.severity] >= _RANK[state.severity]:
                return name
        return None

    def _may_mute(self, state: SubjectState, incident: Incident) -> bool:
        return not state.flapping and self._can_withdraw(state, incident)

    def _can_withdraw(self, state: SubjectState, incident: Incident) -> bool:
        """Whether no alert about the incident can have been sent yet."""
        # An alert about flapping is sent without a hold.
        if not self._may_withdraw or state.subject in self._before.flapping:
            return False
        hold_ends_at = incident.opened_at + state.hold_seconds
        return self._now < hold_ends_at - _WITHDRAWAL_SECONDS

    def _set_muted(self, incident: Incident, cause: str | None) -> Incident:
        self._muted[incident.id] = cause
        return self._replace_open(replace(incident, muted_by=cause))

    def _replace_open(self, incident: Incident) -> Incident:
        self._open[incident.subject] = incident
        return incident


def _first_kind(state: SubjectState) -> str:
    return "flapping" if state.flapping else "trigger"

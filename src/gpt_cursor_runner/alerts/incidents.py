"""From verdict to verdict: what changed, which incidents begin and end, and who
has to be told. Pure.

1. Every check, and the whole (`overall`), is compared with how it last stood: a
   change is a flip.
2. A check that leaves ok opens an incident; ok again closes it. What is still
   starting does neither.
3. An incident is told of after a hold, and not at all while a cause of it is in
   trouble: only the cause is told of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gpt_cursor_runner.alerts.messages import Occasion, body
from gpt_cursor_runner.alerts.standing import SubjectState, standings
from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import Status
from gpt_cursor_runner.ledger.history import Flip, HistoryBatch, Incident
from gpt_cursor_runner.ledger.outbox import Alert

GATEWAY = "gateway"
REMOVED = "removed"
PASSED = "passed"

# What is withdrawn later than this before its hold ends may be on its way already.
_MARGIN_SECONDS = 3.0
_RANK = {"warning": 1, "critical": 2}


@dataclass(frozen=True)
class Policy:
    """Whom to tell, from which severity on and how often; `remind_seconds` 0 is
    never again.
    """

    sinks: tuple[str, ...]
    instance_id: str
    minimum_severity: str = "warning"
    remind_seconds: float = 4 * 3600.0


@dataclass(frozen=True)
class Known:
    """How every subject last stood, as (status, code), and the open incident of
    each that has one.

    Beside it, for subjects with an open incident: which flap, and since when
    the cause that mutes one is well again.
    """

    last: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    open: Mapping[str, Incident] = field(default_factory=dict)
    flapping: frozenset[str] = frozenset()
    relieved_at: Mapping[str, float] = field(default_factory=dict)


def step(
    known: Known,
    verdict: Verdict,
    now: float,
    ids: Callable[[], str],
    policy: Policy,
    prompt: bool = True,
) -> tuple[Known, HistoryBatch]:
    """What is known after this verdict, and the page to write down.

    `now` are epoch seconds. Unless the page is written `prompt`ly, nothing is
    withdrawn: it may have been sent.
    """
    walk = _Walk(
        known,
        {one.subject: one for one in standings(verdict)},
        verdict.overall,
        now,
        ids,
        policy,
        prompt,
    )
    walk.take_all()
    walk.drop_removed()
    return walk.known(), walk.page()


class _Walk:
    """One step under way: gathers the page while it goes from subject to
    subject.
    """

    def __init__(
        self,
        known: Known,
        standings: Mapping[str, SubjectState],
        overall: str,
        now: float,
        ids: Callable[[], str],
        policy: Policy,
        prompt: bool,
    ) -> None:
        self._before, self._standings = known, standings
        self._overall, self._now, self._ids, self._policy, self._prompt = (
            overall,
            now,
            ids,
            policy,
            prompt,
        )
        self._last, self._open = dict(known.last), dict(known.open)
        self._flapping, self._relieved = set(known.flapping), dict(known.relieved_at)
        self._flips: list[Flip] = []
        self._opened: list[Incident] = []
        self._closed: list[str] = []
        self._muted: dict[str, str | None] = {}
        self._reminded: dict[str, float] = {}
        self._escalated: dict[str, str] = {}
        self._alerts: list[Alert] = []

    def take_all(self) -> None:
        """Every subject that is watched."""
        for standing in self._standings.values():
            self._take(standing)

    def _take(self, standing: SubjectState) -> None:
        """One subject: its incident first, because the flip names it."""
        incident = self._open.get(standing.subject)
        if standing.starting:
            pass  # as it was: a trouble from before a restart is neither over nor proven
        elif standing.ill:
            incident = self._go_on(standing, incident) if incident else self._begin(standing)
        elif incident:
            self._end(standing, incident)
        self._flip(standing, incident)

    def drop_removed(self) -> None:
        """What is no longer configured is no longer in trouble."""
        for subject in {**self._before.last, **self._before.open}:
            _, code = self._before.last.get(subject, ("", ""))
            if subject in self._standings or subject == GATEWAY or code == REMOVED:
                continue
            gone = SubjectState(
                subject,
                subject,
                Status.UNKNOWN,
                REMOVED,
                ill=False,
                proven=False,
                severity="warning",
            )
            self._take(gone)

    def known(self) -> Known:
        return Known(self._last, self._open, frozenset(self._flapping), self._relieved)

    def page(self) -> HistoryBatch:
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

    def _begin(self, standing: SubjectState) -> Incident:
        cause, now = self._cause(standing), self._now
        code = standing.code
        incident = Incident(
            self._ids(), standing.subject, standing.severity, code, now, now, muted_by=cause
        )
        self._opened.append(incident)
        self._open[standing.subject] = incident
        if standing.flapping:
            self._flapping.add(standing.subject)
        self._tell(
            "flapping" if standing.flapping else "trigger",
            standing,
            incident,
            standing.hold_seconds,
        )
        return incident

    def _go_on(self, standing: SubjectState, incident: Incident) -> Incident:
        """Still in trouble: worse, flapping, muted or not any more, or long
        enough to remind of it.
        """
        begins_to_flap = standing.flapping and standing.subject not in self._flapping
        (self._flapping.add if standing.flapping else self._flapping.discard)(standing.subject)
        incident = self._mute(standing, incident)
        if begins_to_flap:
            self._tell("flapping", standing, incident)
        if _RANK[standing.severity] > _RANK[incident.severity]:
            incident = self._keep(replace(incident, severity=standing.severity))
            self._escalated[incident.id] = standing.severity
            if not standing.flapping:
                self._tell("trigger", standing, incident, standing.hold_seconds)
        remind_seconds = self._policy.remind_seconds
        if (
            incident.muted_by is None
            and remind_seconds
            and self._now - incident.reminded_at >= remind_seconds
        ):
            incident = self._keep(replace(incident, reminded_at=self._now))
            self._reminded[incident.id] = self._now
            self._tell("reminder", standing, incident)
        return incident

    def _mute(self, standing: SubjectState, incident: Incident) -> Incident:
        """Muted while a cause is in trouble; told of when, the cause being
        well, it has had its time and is not.
        """
        cause, subject = self._cause(standing), standing.subject
        if incident.muted_by is None:
            muted = cause and not standing.flapping and self._can_withdraw(standing, incident)
            return self._keep_muted(incident, cause) if muted else incident
        if cause:
            self._relieved.pop(subject, None)
            return incident
        if self._now - self._relieved.setdefault(subject, self._now) < standing.patience_seconds:
            return incident
        del self._relieved[subject]
        incident = self._keep_muted(incident, None)
        held = max(0.0, incident.opened_at + standing.hold_seconds - self._now)
        self._tell("flapping" if standing.flapping else "trigger", standing, incident, held)
        return incident

    def _end(self, standing: SubjectState, incident: Incident) -> None:
        self._closed.append(incident.id)
        del self._open[standing.subject]
        self._flapping.discard(standing.subject)
        self._relieved.pop(standing.subject, None)
        if incident.muted_by is None and self._can_withdraw(standing, incident):
            self._muted[incident.id] = PASSED  # over before anybody was told: nobody need be
        else:
            self._tell("resolve", standing, incident)

    def _flip(self, standing: SubjectState, incident: Incident | None) -> None:
        status, code = self._last.get(standing.subject, (None, None))
        well = standing.status in (Status.OK, "healthy")
        if status == standing.status and (well or code == standing.code):
            return
        self._last[standing.subject] = (standing.status, standing.code)
        self._flips.append(
            Flip(
                standing.subject,
                standing.status,
                standing.code,
                status,
                code,
                self._now,
                self._policy.instance_id,
                incident.id if incident else None,
            )
        )

    def _tell(
        self, kind: str, standing: SubjectState, incident: Incident, hold_seconds: float = 0.0
    ) -> None:
        """A alert to every sink, unless a cause speaks for this incident or it
        is beneath what is told.
        """
        if (
            incident.muted_by is not None
            or _RANK[incident.severity] < _RANK[self._policy.minimum_severity]
        ):
            return
        lasted_ms = round(1000 * (self._now - incident.opened_at))
        occasion = Occasion(
            kind,
            standing.component,
            incident.severity,
            standing.status,
            standing.code,
            self._overall,
            self._now,
        )
        for sink in self._policy.sinks:
            key = f"{incident.id}-{kind}-{lasted_ms}-{sink}"
            text = body(key, incident, occasion, self._policy.instance_id)
            due = self._now + hold_seconds
            self._alerts.append(
                Alert(key, sink, incident.id, incident.subject, kind, text, self._now, due)
            )

    def _cause(self, standing: SubjectState) -> str | None:
        """What speaks for this one: a cause that does not work, and is no less
        severe than what it causes.
        """
        for name in standing.causes:
            cause = self._standings.get(name)
            fails = cause is not None and cause.ill and not cause.proven and not cause.starting
            if cause and fails and _RANK[cause.severity] >= _RANK[standing.severity]:
                return name
        return None

    def _can_withdraw(self, standing: SubjectState, incident: Incident) -> bool:
        sent_at = incident.opened_at + standing.hold_seconds
        untold = standing.subject not in self._before.flapping
        return self._prompt and untold and self._now < sent_at - _MARGIN_SECONDS

    def _keep(self, incident: Incident) -> Incident:
        self._open[incident.subject] = incident
        return incident

    def _keep_muted(self, incident: Incident, cause: str | None) -> Incident:
        self._muted[incident.id] = cause
        return self._keep(replace(incident, muted_by=cause))

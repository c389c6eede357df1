"""The events of a patch, read as the record of its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.patch.events import (
    ENDINGS,
    Accepted,
    Carried,
    Checked,
    Compared,
    EventKind,
    Landing,
    NotChecked,
    Payload,
    Planned,
    Prepared,
    Sealed,
)
from gpt_cursor_runner.patch.landed import Landed
from gpt_cursor_runner.patch.outcome import Outcome

AnyPayload = TypeVar("AnyPayload", bound=Payload)

_SEALS = (EventKind.SEALED, EventKind.CARRIED)
_LANDING_STEPS = (EventKind.LANDING, EventKind.BASE_MOVED, EventKind.NOT_MOVED)


@dataclass(frozen=True)
class AttemptRecord:
    """The events of the deciding attempt, and the whole history around them.

    That is the attempt which moved the branch, or else the last one: an attempt
    that was lost after it had moved the branch is finished by a later one,
    which runs no check again.
    """

    history: Sequence[Event]
    attempt: Sequence[Event]

    @classmethod
    def of(cls, outcome: Outcome, history: Sequence[Event]) -> AttemptRecord:
        claims = _indexes(history, EventKind.CLAIMED)
        if not claims:
            return cls(history, ())
        # The deciding attempt lasts from one claim to the next.
        decided_at = _decided_at(outcome, history)
        start = max(index for index in claims if index <= decided_at)
        later_claims = [index for index in claims if index > start]
        end = later_claims[0] if later_claims else len(history)
        return cls(history, history[start:end])

    @property
    def accepted(self) -> Accepted:
        event = _first(self.history, EventKind.ACCEPTED)
        return Accepted() if event is None else Accepted.from_json(event.data)

    @property
    def attempts(self) -> int:
        return len(_indexes(self.history, EventKind.CLAIMED))

    @property
    def first_claimed_at(self) -> float | None:
        event = _first(self.history, EventKind.CLAIMED)
        return None if event is None else event.at

    @property
    def claimed_at(self) -> float | None:
        return self.attempt[0].at if self.attempt else None

    @property
    def claimed_by(self) -> str | None:
        return self.attempt[0].actor if self.attempt else None

    @property
    def ended_at(self) -> float | None:
        """When the runner ended the attempt; None when the runner was lost."""
        # A person who decides on a held patch later adds an ending as well.
        for event in self.attempt:
            if event.kind in ENDINGS and event.actor == self.claimed_by:
                return event.at
        return None

    @property
    def planned(self) -> Planned | None:
        return self._last(Planned)

    @property
    def sealed(self) -> Sealed | None:
        """The last commit that was sealed, which is the one that was checked."""
        return self._last(Carried) or self._last(Sealed)

    @property
    def checks(self) -> list[Checked]:
        """The checks of the last round."""
        return self._of_last_round(Checked)

    @property
    def setup(self) -> list[Prepared]:
        """The setup commands of the last round, on the sealed tree."""
        sealed = self.sealed
        prepared = self._of_last_round(Prepared)
        return [setup for setup in prepared if sealed and setup.tree == sealed.tree]

    @property
    def compared(self) -> Compared | None:
        """The check that did not pass, run without the patch."""
        return self._last(Compared)

    @property
    def not_checked(self) -> NotChecked | None:
        return self._last(NotChecked)

    @property
    def was_about_to_land(self) -> bool:
        """Whether the last landing that was begun has no recorded end."""
        for event in reversed(self.history):
            if event.kind in _LANDING_STEPS:
                return event.kind == EventKind.LANDING
        return False

    def _of_last_round(self, payload: type[AnyPayload]) -> list[AnyPayload]:
        """The events since the last commit was sealed; those before belong to
        another tree.
        """
        is_sealed = False
        payloads: list[AnyPayload] = []
        for event in self.attempt:
            if event.kind in _SEALS:
                is_sealed = True
                payloads = []
            elif is_sealed and event.kind == payload.kind:
                payloads.append(payload.from_json(event.data))
        return payloads

    def _last(self, payload: type[AnyPayload]) -> AnyPayload | None:
        for event in reversed(self.attempt):
            if event.kind == payload.kind:
                return payload.from_json(event.data)
        return None


def _first(history: Sequence[Event], kind: EventKind) -> Event | None:
    return next((event for event in history if event.kind == kind), None)


def _indexes(history: Sequence[Event], kind: EventKind) -> list[int]:
    return [index for index, event in enumerate(history) if event.kind == kind]


def _decided_at(outcome: Outcome, history: Sequence[Event]) -> int:
    """The index of the last intent to land the commit that landed, or of the
    last event.
    """
    if isinstance(outcome, Landed):
        for index in reversed(_indexes(history, EventKind.LANDING)):
            if Landing.from_json(history[index].data).commit == outcome.landing.commit:
                return index
    return len(history) - 1

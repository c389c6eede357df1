"""Outcomes: how an attempt or a decision left a patch, one class per ending.

`to_json` gives the members that are stored with the patch, sent to clients and
used as payload of the event. `read_outcome` reads them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from gpt_cursor_runner.patch.events import EventKind
from gpt_cursor_runner.patch.faults import (
    ApprovalRule,
    CheckoutInUse,
    Fault,
    HoldCause,
    HumanNeeded,
    PatchRefused,
    PlacedHunk,
)
from gpt_cursor_runner.patch.landed import Landed, Previewed
from gpt_cursor_runner.patch.status import Status


@dataclass(frozen=True)
class Held:
    """The patch is sealed and waits for a person."""

    status: ClassVar[Status] = Status.HELD
    kind: ClassVar[EventKind] = EventKind.HELD

    code: str
    message: str
    next_step: str
    cause: HoldCause | None = None

    def to_json(self) -> dict[str, Any]:
        body = {"code": self.code, "message": self.message, "next_step": self.next_step}
        if self.cause is not None:
            body |= _without_none(asdict(self.cause))
        return body

    @classmethod
    def of(cls, needed: HumanNeeded) -> Held:
        return cls(needed.code, needed.message, needed.next_step, needed.cause)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Held:
        return cls(**_reason(data), cause=_hold_cause(data))


@dataclass(frozen=True)
class Rejected:
    """The sender's fault. `good` are the hunks that matched, `base` the commit
    that the patch was planned on.
    """

    status: ClassVar[Status] = Status.REJECTED
    kind: ClassVar[EventKind] = EventKind.REJECTED

    code: str
    faults: tuple[Fault, ...]
    good: tuple[PlacedHunk, ...] = ()
    base: str | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code}
        if self.base:
            body["base"] = self.base
        body["errors"] = [fault.to_json() for fault in self.faults]
        body["good"] = [asdict(hunk) for hunk in self.good]
        return body

    @classmethod
    def of(cls, refused: PatchRefused) -> Rejected:
        return cls(refused.code, refused.faults, refused.good, refused.base)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rejected:
        return cls(
            code=data.get("code", ""),
            faults=tuple(Fault.from_json(error) for error in data.get("errors", ())),
            good=tuple(PlacedHunk(**hunk) for hunk in data.get("good", ())),
            base=data.get("base"),
        )


@dataclass(frozen=True)
class RejectedByOwner:
    """The owner rejected a held patch."""

    status: ClassVar[Status] = Status.REJECTED
    kind: ClassVar[EventKind] = EventKind.REJECTED
    code: ClassVar[str] = "rejected_by_owner"

    message: str

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True)
class Failed:
    """A fault of this machine or this program, and no attempt is left."""

    status: ClassVar[Status] = Status.FAILED
    kind: ClassVar[EventKind] = EventKind.FAILED

    code: str
    message: str
    next_step: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Failed:
        return cls(**_reason(data))


@dataclass(frozen=True)
class Requeued:
    """As `Failed`, but the patch will be tried again."""

    status: ClassVar[Status] = Status.QUEUED
    kind: ClassVar[EventKind] = EventKind.REQUEUED

    code: str
    message: str
    next_step: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Interrupted:
    """The runner was stopped. This attempt does not count towards the limit of
    attempts.
    """

    status: ClassVar[Status] = Status.QUEUED
    kind: ClassVar[EventKind] = EventKind.REQUEUED
    code: ClassVar[str] = "runner_stopped"

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code}


@dataclass(frozen=True)
class Blocked:
    """No patch can land in the repository now; this one waits in the queue. The
    attempt does not count.
    """

    status: ClassVar[Status] = Status.QUEUED
    kind: ClassVar[EventKind] = EventKind.REQUEUED

    code: str
    message: str
    next_step: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def by(cls, obstacle: Fault) -> Blocked:
        return cls(obstacle.code, obstacle.message, obstacle.next_step)


@dataclass(frozen=True)
class Cancelled:
    """The patch was cancelled, before or while it ran."""

    status: ClassVar[Status] = Status.CANCELLED
    kind: ClassVar[EventKind] = EventKind.CANCELLED
    code: ClassVar[str] = "cancelled"

    message: str

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cancelled:
        return cls(data.get("message", ""))

    @classmethod
    def while_running(cls, actor: str) -> Cancelled:
        return cls(f"cancelled by {actor} while it ran")

    @classmethod
    def before_running(cls, actor: str) -> Cancelled:
        return cls(f"cancelled by {actor} before it ran")


Outcome = (
    Landed
    | Previewed
    | Held
    | Rejected
    | RejectedByOwner
    | Failed
    | Requeued
    | Blocked
    | Interrupted
    | Cancelled
)


def read_outcome(status: Status, data: Mapping[str, Any]) -> Outcome:
    """Read the stored outcome of a patch in this status.

    A patch that was queued again keeps the outcome of its last ending, read here
    as the reason why it was queued.
    """
    return _READERS[status](data)


def message_of(outcome: Outcome) -> str | None:
    """The message of an outcome that has one; a rejection has one per fault."""
    match outcome:
        case Held() | Failed() | Requeued() | Blocked() | Cancelled() | RejectedByOwner():
            return outcome.message or None
        case Landed() | Previewed() | Rejected() | Interrupted():
            return None


def _read_rejection(data: Mapping[str, Any]) -> Rejected | RejectedByOwner:
    if data.get("code") == RejectedByOwner.code:
        return RejectedByOwner(data.get("message", ""))
    return Rejected.from_json(data)


def _read_requeue(data: Mapping[str, Any]) -> Requeued | Interrupted:
    if data.get("code") == Interrupted.code:
        return Interrupted()
    return Requeued(**_reason(data))


_READERS: dict[Status, Callable[[Mapping[str, Any]], Outcome]] = {
    Status.LANDED: Landed.from_json,
    Status.PREVIEWED: Previewed.from_json,
    Status.HELD: Held.from_json,
    Status.REJECTED: _read_rejection,
    Status.FAILED: Failed.from_json,
    Status.CANCELLED: Cancelled.from_json,
    Status.QUEUED: _read_requeue,
    Status.RUNNING: _read_requeue,
}


def _reason(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: data.get(name, "") for name in ("code", "message", "next_step")}


def _hold_cause(data: Mapping[str, Any]) -> HoldCause | None:
    # Causes are stored flat; no member is common to the two.
    if "protected_paths" in data:
        return ApprovalRule(tuple(data["protected_paths"]))
    if "checkout" in data:
        return CheckoutInUse(data["checkout"], data.get("git_said"), data.get("branch_at"))
    return None


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}

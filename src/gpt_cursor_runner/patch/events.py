"""The kinds of event in a patch's history, and the payload of each.

The endings of a patch are events too; their payloads are in `outcome.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self

from gpt_cursor_runner.patch.status import Status


class EventKind(StrEnum):
    """Stored in the column `kind` and shown to clients."""

    ACCEPTED = "accepted"
    CLAIMED = "claimed"
    PLANNED = "planned"
    SEALED = "sealed"
    CARRIED = "carried"
    PREPARED = "prepared"
    NOT_CHECKED = "not_checked"
    CHECKED = "checked"
    COMPARED = "compared"
    LANDING = "landing"
    BASE_MOVED = "base_moved"
    NOT_MOVED = "not_moved"
    LEASE_LOST = "lease_lost"
    CANCEL_ASKED = "cancel_asked"
    APPROVED = "approved"
    RETRIED = "retried"
    REPORTED = "reported"
    # The endings of an attempt. All but `requeued` are also a status.
    REQUEUED = "requeued"
    LANDED = "landed"
    HELD = "held"
    REJECTED = "rejected"
    FAILED = "failed"
    PREVIEWED = "previewed"
    CANCELLED = "cancelled"


ENDINGS = frozenset(
    {
        EventKind.REQUEUED,
        EventKind.LANDED,
        EventKind.HELD,
        EventKind.REJECTED,
        EventKind.FAILED,
        EventKind.PREVIEWED,
        EventKind.CANCELLED,
    }
)


class EventPayload(Protocol):
    """The facts of one event; the outcomes fit this too."""

    @property
    def kind(self) -> EventKind: ...

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Payload:
    """Base of the payloads below.

    Every member has a default, which is what a member reads as that an older
    ledger did not record.
    """

    kind: ClassVar[EventKind]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read a stored payload; members of another version are ignored."""
        values = {}
        for field in fields(cls):
            if field.name in data:
                value = data[field.name]
                # A tuple became a list in JSON.
                values[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)


@dataclass(frozen=True)
class Accepted(Payload):
    """`health` is the overall status of /health at that moment."""

    kind: ClassVar[EventKind] = EventKind.ACCEPTED
    request_id: str = ""
    digest: str = ""
    body_sha256: str = ""
    health: str | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        body = asdict(self)
        # Left out when empty: the digest of an event covers its members, and
        # these were always left out.
        for name in ("health", "warnings"):
            if not body[name]:
                del body[name]
        return body


@dataclass(frozen=True)
class Claimed(Payload):
    """`attempt` counts from 1; `token` is the fencing token of the lease."""

    kind: ClassVar[EventKind] = EventKind.CLAIMED
    attempt: int = 0
    token: int = 0


@dataclass(frozen=True)
class HunkPlace:
    """Where a hunk matched: the line from 1, and the rung of the ladder."""

    path: str
    line: int
    rung: str


@dataclass(frozen=True)
class Planned(Payload):
    """`files` and `hunks` may be cut; `plan_digest` covers all of them.
    `profile_digest` is that of the settings which judge this attempt.
    """

    kind: ClassVar[EventKind] = EventKind.PLANNED
    base: str = ""
    plan_digest: str = ""
    files: tuple[str, ...] = ()
    hunks: tuple[HunkPlace, ...] = ()
    profile_digest: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        places = tuple(HunkPlace(**hunk) for hunk in data.get("hunks", ()))
        return super().from_json({**data, "hunks": places})


@dataclass(frozen=True)
class Sealed(Payload):
    """The commit that holds the plan on top of `base`."""

    kind: ClassVar[EventKind] = EventKind.SEALED
    base: str = ""
    commit: str = ""
    tree: str = ""


@dataclass(frozen=True)
class Carried(Sealed):
    """The sealed commit, merged onto a branch that has moved."""

    kind: ClassVar[EventKind] = EventKind.CARRIED


@dataclass(frozen=True)
class NotChecked(Payload):
    kind: ClassVar[EventKind] = EventKind.NOT_CHECKED
    tree: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Checked(Payload):
    """One check, run on `tree`. `sandbox_missing` is the reason why it ran
    without a sandbox, if it did.
    """

    kind: ClassVar[EventKind] = EventKind.CHECKED
    tree: str = ""
    sandbox_missing: str | None = None
    name: str = ""
    command: tuple[str, ...] = ()
    verdict: str = ""
    exit_code: int | None = None
    seconds: float = 0.0
    tier: str = ""
    output_bytes: int = 0
    output_sha256: str = ""
    tail: str = ""
    required: bool = True
    limit: str | None = None
    tests: int | None = None


@dataclass(frozen=True)
class Prepared(Payload):
    """One setup command. `layer` is the key of the directories it made; `seconds`
    is None when an earlier patch had made them.
    """

    kind: ClassVar[EventKind] = EventKind.PREPARED
    tree: str = ""
    command: tuple[str, ...] = ()
    layer: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Compared(Payload):
    """A check that failed on the patch, run on `tree`, that of the branch without
    the patch.
    """

    kind: ClassVar[EventKind] = EventKind.COMPARED
    tree: str = ""
    name: str = ""
    verdict: str = ""
    exit_code: int | None = None
    seconds: float = 0.0
    tail: str = ""
    tests: int | None = None


@dataclass(frozen=True)
class Landing(Payload):
    """The intent to move the branch to `commit`, recorded before it is moved."""

    kind: ClassVar[EventKind] = EventKind.LANDING
    commit: str = ""
    parent: str = ""
    tree: str = ""
    subject: str = ""


@dataclass(frozen=True)
class BaseMoved(Payload):
    """The branch was at `found` and not at `expected`, so it was not moved."""

    kind: ClassVar[EventKind] = EventKind.BASE_MOVED
    expected: str = ""
    found: str = ""


@dataclass(frozen=True)
class NotMoved(Payload):
    """The branch stayed at `expected` for another reason."""

    kind: ClassVar[EventKind] = EventKind.NOT_MOVED
    expected: str = ""
    reason: str = ""


@dataclass(frozen=True)
class LeaseReclaimed(Payload):
    """The lease of `runner` was taken away and the patch queued again."""

    kind: ClassVar[EventKind] = EventKind.LEASE_LOST
    runner: str | None = None
    attempt: int = 0


@dataclass(frozen=True)
class CancelRequested(Payload):
    kind: ClassVar[EventKind] = EventKind.CANCEL_ASKED


@dataclass(frozen=True)
class Approved(Payload):
    """The approval covers the patch with this digest."""

    kind: ClassVar[EventKind] = EventKind.APPROVED
    digest: str = ""


@dataclass(frozen=True)
class Retried(Payload):
    kind: ClassVar[EventKind] = EventKind.RETRIED


@dataclass(frozen=True)
class Reported(Payload):
    """A report of the patch in this status was written."""

    kind: ClassVar[EventKind] = EventKind.REPORTED
    status: Status | None = None
    markdown_sha256: str = ""
    json_sha256: str = ""

"""The states of a patch and the moves between them. Few states; everything else
is an event.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    LANDED = "landed"
    REJECTED = "rejected"
    FAILED = "failed"
    PREVIEWED = "previewed"
    CANCELLED = "cancelled"


FINAL = frozenset(
    {Status.LANDED, Status.REJECTED, Status.FAILED, Status.PREVIEWED, Status.CANCELLED}
)

MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED}),
    Status.RUNNING: frozenset(
        {
            Status.LANDED,
            Status.HELD,
            Status.REJECTED,
            Status.FAILED,
            Status.PREVIEWED,
            Status.CANCELLED,
            Status.QUEUED,  # the lease was lost, or a retry of ours
        }
    ),
    Status.HELD: frozenset({Status.QUEUED, Status.REJECTED}),
    # A failure was ours, so a person may order another round; every other end
    # is final.
    Status.FAILED: frozenset({Status.QUEUED}),
}


def may_move(old: Status, to: Status) -> bool:
    """Whether a patch may go from `old` to `to`."""
    return to in MOVES.get(old, frozenset())

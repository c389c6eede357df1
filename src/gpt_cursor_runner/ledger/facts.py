"""What the ledger tells about the queue, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QueueFacts:
    """Counts of patches by state, and two moments in epoch seconds (None when there is no such patch)."""

    queued: int
    running: int
    held: int
    failed: int
    oldest_queued_at: float | None
    last_landed_at: float | None

"""Does the ledger take a write, and does the queue move?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Protocol

import structlog

from gpt_cursor_runner.health.model import Criticality, Reading, Status, Terms
from gpt_cursor_runner.ledger.facts import QueueFacts

_log = structlog.get_logger(__name__)

BACKLOG_SECONDS = 15 * 60.0

# What SQLite and PostgreSQL say; both keep their words from version to version.
_BY_WORD = {
    "locked": "locked",
    "malformed": "corrupt",
    "not a database": "corrupt",
    "readonly": "read_only",
    "read-only": "read_only",
    "is full": "no_space",
    "no space": "no_space",
}


class LedgerProbe(Protocol):
    """What the ledger offers to whoever watches it."""

    def probe_write(self) -> None:
        """Write and roll back; raise what the database raises."""

    def queue_facts(self) -> QueueFacts:
        """How the queue stands."""


class QueueProbe:
    """A write that is rolled back, then the age of the oldest patch that waits."""

    terms = Terms(
        "queue", "queue", Criticality.CRITICAL, interval_seconds=2.0, deadline_seconds=2.0, caused_by=("filesystem",)
    )

    def __init__(self, ledger: LedgerProbe, wall: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._wall = wall
        self._refused_with: str | None = None

    def read(self) -> Reading:
        """Any trouble of the database is this check's answer."""
        try:
            self._ledger.probe_write()
            facts = self._ledger.queue_facts()
        except Exception as refused:  # noqa: BLE001  a probe's edge: every driver has its own family of errors
            return self._refusal(refused)
        self._refused_with = None
        return self._judge(facts)

    def close(self) -> None:
        """Nothing is held between two looks."""

    def _refusal(self, refused: Exception) -> Reading:
        code = _code(refused)
        if code != self._refused_with:  # one traceback for one trouble, however long it lasts
            _log.warning("ledger_refuses_writes", code=code, exc_info=refused)
        self._refused_with = code
        # A lock may be gone in a moment; the rest are facts.
        return Reading(Status.FAIL, code, str(refused), fact=code != "locked")

    def _judge(self, facts: QueueFacts) -> Reading:
        waiting = 0.0 if facts.oldest_queued_at is None else max(0.0, self._wall() - facts.oldest_queued_at)
        data = asdict(facts) | {"oldest_queued_seconds": round(waiting, 1)}
        if waiting > BACKLOG_SECONDS:
            message = f"{facts.queued} queued, the oldest for {waiting / 60:.0f} minutes"
            return Reading(Status.WARN, "backlog", message, data, "See `gcr patches` and the runner's log.")
        return Reading(Status.OK, "writable", data=data)


def _code(refused: BaseException) -> str:
    for error in _causes(refused):
        for word, code in _BY_WORD.items():
            if word in str(error):
                return code
    return "other"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The driver's error first: wrappers quote statements, whose words prove nothing."""
    if error is None:
        return
    yield from _causes(error.__cause__)
    yield error

"""Does the ledger take a write, does the queue move, and did patches fail that
somebody should look at?
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Protocol

import structlog

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.arrivals import Arrivals, Since
from gpt_cursor_runner.ledger.queries import QueueFacts
from gpt_cursor_runner.system.clock import boottime

_log = structlog.get_logger(__name__)

BACKLOG_SECONDS = 15 * 60.0
_FRESH_SECONDS = 6.0

_REMEDIES = {
    "backlog": "See `gcr patches` and the runner's log.",
    "dead_letters": "See `gcr patches --status failed`; `gcr retry ID` lets one try again.",
}

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

    # Longer than the ledger waits for another writer, so that "locked" is said
    # before this check is late.
    spec = ProbeSpec(
        "queue",
        "queue",
        Criticality.CRITICAL,
        interval_seconds=2.0,
        deadline_seconds=2.0,
        caused_by=("filesystem",),
    )

    def __init__(
        self,
        ledger: LedgerProbe,
        recorded_at: Callable[[], float],
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self._ledger = ledger
        self._recorded_at = recorded_at
        self._wall = wall
        self._monotonic = monotonic
        self._arrivals = Arrivals()
        self._running = Since()
        self._ran_before = 0.0
        self._unmoved: tuple[object, float] = (None, 0.0)
        self._refused_with: str | None = None

    def read(self) -> Reading:
        """Any trouble of the database is this check's answer."""
        try:
            self._prove_writable()
            facts = self._ledger.queue_facts()
        except Exception as refused:  # noqa: BLE001  a probe's edge: every driver has its own family of errors
            return self._refusal(refused)
        self._refused_with = None
        return self._judge(facts)

    def close(self) -> None:
        """Nothing is held between two looks."""

    def unmoved(self) -> object:
        """What stays the same while a patch could be claimed and is not; None
        when none could, or nobody knows.
        """
        what, seen_at = self._unmoved
        return what if self._monotonic() - seen_at < _FRESH_SECONDS else None

    def _prove_writable(self) -> None:
        """Write; or see that a patch was recorded meanwhile, when others write
        so much that our turn never came.
        """
        began = self._monotonic()
        try:
            self._ledger.probe_write()
        except Exception as refused:
            if _code(refused) != "locked" or self._recorded_at() < began:
                raise

    def _refusal(self, refused: Exception) -> Reading:
        code = _code(refused)
        if code != self._refused_with:  # one traceback for one trouble, however long it lasts
            _log.warning("ledger_refuses_writes", code=code, exc_info=refused)
        self._refused_with = code
        # Also a lock is no noise: it outlasted the ledger's whole patience, as
        # it does for whoever sends a patch.
        return Reading(Status.FAIL, code, str(refused), fact=True)

    def _judge(self, facts: QueueFacts) -> Reading:
        now = self._monotonic()
        waits = facts.oldest_claimable_seq is not None
        self._unmoved = ((facts.oldest_claimable_seq, facts.last_landed_at) if waits else None, now)
        waiting = self._waiting(facts, now)
        warnings = {
            "backlog": f"{facts.queued} queued, the oldest for {waiting / 60:.0f} minutes",
            "dead_letters": f"{facts.failed_lately} failed within a day",
        }
        codes = [
            *(["backlog"] if waiting > BACKLOG_SECONDS else []),
            *(["dead_letters"] if facts.failed_lately else []),
        ]
        ages = {
            "oldest_queued_seconds": round(waiting, 1),
            "oldest_running_seconds": self._running_for(facts, now),
        }
        data = asdict(facts) | ages | {"warnings": codes}
        if not codes:
            return Reading(Status.OK, "writable", data=data)
        return Reading(
            Status.WARN,
            codes[0],
            "; ".join(warnings[code] for code in codes),
            data,
            _REMEDIES[codes[0]],
        )

    def _waiting(self, facts: QueueFacts, now: float) -> float:
        self._arrivals.note(facts.last_seq, now, self._wall())
        if facts.oldest_queued_seq is None or facts.oldest_queued_at is None:
            return 0.0
        return self._arrivals.age(facts.oldest_queued_seq, facts.oldest_queued_at, now)

    def _running_for(self, facts: QueueFacts, now: float) -> float | None:
        if facts.oldest_running_at is None:
            return None
        seconds = self._running.seconds(facts.oldest_running_at, now)
        if seconds == 0.0:
            self._ran_before = max(0.0, self._wall() - facts.oldest_running_at)
        return round(self._ran_before + seconds, 1)


def _code(refused: BaseException) -> str:
    for error in _causes(refused):
        for word, code in _BY_WORD.items():
            if word in str(error):
                return code
    return "other"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The driver's error first: wrappers quote statements, whose words prove
    nothing.
    """
    if error is None:
        return
    yield from _causes(error.__cause__)
    yield error

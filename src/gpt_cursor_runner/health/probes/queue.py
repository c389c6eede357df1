"""Checks that the ledger accepts writes, that the queue moves, and that no patch
failed recently.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from typing import Protocol

import structlog

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.probes.ages import ArrivalLog, UnchangedTimer
from gpt_cursor_runner.ledger.queries import QueueFacts
from gpt_cursor_runner.system.clock import boottime

_log = structlog.get_logger(__name__)

BACKLOG_SECONDS = 15 * 60.0

# Texts of SQLite and PostgreSQL, which are the same in all their versions; the
# error numbers are lost in the drivers' exceptions.
_CODE_BY_TEXT = {
    "locked": "locked",
    "malformed": "corrupt",
    "not a database": "corrupt",
    "readonly": "read_only",
    "read-only": "read_only",
    "is full": "no_space",
    "no space": "no_space",
}


class WatchedLedger(Protocol):
    """The part of the ledger that this check uses."""

    def probe_write(self) -> None:
        """Write and roll back; raises the errors of the database."""

    def queue_facts(self, *, blocked: Collection[str] = ()) -> QueueFacts:
        """The present state of the queue; `blocked` names repositories whose
        patches are not claimable.
        """


class QueueProbe:
    """Writes to the ledger and rolls back, then reads the state of the queue.

    `recorded_at` returns the moment at which the last patch was recorded,
    `blocked` the names of the repositories whose patches wait.
    """

    # The deadline is longer than the ledger waits for another writer, so that
    # the check reports "locked" before it is late.
    spec = ProbeSpec(
        "queue",
        "queue",
        Criticality.CRITICAL,
        interval_seconds=2.0,
        deadline_seconds=2.0,
        caused_by=("filesystem",),
    )
    # A locked ledger is a fact too: the lock outlasted the busy timeout, as it
    # does for every patch that is sent.
    codes = CodeTable(
        writable=Code(CheckStatus.OK),
        backlog=Code(CheckStatus.WARN, "See `gcr patches` and the runner's log."),
        dead_letters=Code(
            CheckStatus.WARN, "See `gcr patches --status failed`; `gcr retry ID` repeats a patch."
        ),
        locked=Code(CheckStatus.FAIL, fact=True),
        corrupt=Code(CheckStatus.FAIL, fact=True),
        read_only=Code(CheckStatus.FAIL, fact=True),
        no_space=Code(CheckStatus.FAIL, fact=True),
        other=Code(CheckStatus.FAIL, fact=True),
    )

    def __init__(
        self,
        ledger: WatchedLedger,
        recorded_at: Callable[[], float],
        blocked: Callable[[], Collection[str]] = tuple,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self._ledger = ledger
        self._recorded_at = recorded_at
        self._blocked = blocked
        self._wall = wall
        self._monotonic = monotonic
        self._arrivals = ArrivalLog()
        self._running = UnchangedTimer()
        self._running_before_seconds = 0.0
        self._claimable: object = None
        self._claimable_at = 0.0
        self._logged_code: str | None = None

    def read(self) -> Reading:
        try:
            self._test_write()
            facts = self._ledger.queue_facts(blocked=self._blocked())
        except Exception as error:  # noqa: BLE001  a probe's edge: every driver has its own family of errors
            return self._failure(error)
        self._logged_code = None
        return self._judge(facts)

    def claimable(self) -> object:
        """A value that stays equal while no runner claims the oldest claimable
        patch; None when there is no such patch or the last reading is stale.
        """
        age = self._monotonic() - self._claimable_at
        if age >= self.spec.stale_after_seconds:
            return None
        return self._claimable

    def _test_write(self) -> None:
        began_at = self._monotonic()
        try:
            self._ledger.probe_write()
        except Exception as error:
            # Under a stream of writes this one may not get its turn; a patch
            # that was recorded meanwhile proves as much.
            recorded_meanwhile = self._recorded_at() >= began_at
            if _code(error) != "locked" or not recorded_meanwhile:
                raise

    def _failure(self, error: Exception) -> Reading:
        code = _code(error)
        if code != self._logged_code:
            _log.warning("ledger_refuses_writes", code=code, exc_info=error)
        self._logged_code = code
        return self.codes.reading(code, str(error))

    def _judge(self, facts: QueueFacts) -> Reading:
        now = self._monotonic()
        self._note_claimable(facts, now)
        waiting_seconds = self._waiting_seconds(facts, now)
        warnings = _warnings(facts, waiting_seconds)
        data = asdict(facts) | {
            "oldest_queued_seconds": round(waiting_seconds, 1),
            "oldest_running_seconds": self._running_seconds(facts, now),
            "warnings": list(warnings),
        }
        code = next(iter(warnings), "writable")
        return self.codes.reading(code, "; ".join(warnings.values()), data)

    def _note_claimable(self, facts: QueueFacts, now: float) -> None:
        self._claimable_at = now
        self._claimable = None
        if facts.oldest_claimable_seq is not None:
            # A landing beside it proves that the runner claims patches.
            self._claimable = (facts.oldest_claimable_seq, facts.last_landed_at)

    def _waiting_seconds(self, facts: QueueFacts, now: float) -> float:
        self._arrivals.record(facts.last_seq, now, self._wall())
        if facts.oldest_queued_seq is None or facts.oldest_queued_at is None:
            return 0.0
        return self._arrivals.age(facts.oldest_queued_seq, facts.oldest_queued_at, now)

    def _running_seconds(self, facts: QueueFacts, now: float) -> float | None:
        if facts.oldest_running_at is None:
            return None
        seconds = self._running.update(facts.oldest_running_at, now)
        if seconds == 0.0:
            # The first observation of this attempt: its age so far is known by
            # the wall clock alone.
            self._running_before_seconds = max(0.0, self._wall() - facts.oldest_running_at)
        return round(self._running_before_seconds + seconds, 1)


def _warnings(facts: QueueFacts, waiting_seconds: float) -> dict[str, str]:
    warnings = {}
    if waiting_seconds > BACKLOG_SECONDS:
        minutes = waiting_seconds / 60
        warnings["backlog"] = f"{facts.queued} queued, the oldest for {minutes:.0f} minutes"
    if facts.failed_lately:
        warnings["dead_letters"] = f"{facts.failed_lately} failed within a day"
    return warnings


def _code(error: BaseException) -> str:
    for cause in _causes(error):
        for text, code in _CODE_BY_TEXT.items():
            if text in str(cause):
                return code
    return "other"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The causes of an error, the innermost first: the messages of the outer
    ones quote the statement, which may contain any of the texts.
    """
    if error is None:
        return
    yield from _causes(error.__cause__)
    yield error

"""The one thread that records admitted patches. Patches that arrive together
share a transaction, and its one sync to the disk.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import NamedTuple

import structlog
from sqlalchemy.exc import OperationalError

from gpt_cursor_runner.ledger.patches import AdmittedPatch, IdTaken, Intake, Receipt
from gpt_cursor_runner.system.clock import boottime

log = structlog.get_logger()

_MAX_BATCH = 256
_MAX_QUEUED = 1024


class NotRecorded(Exception):
    """The patch was not recorded, and will not be."""


class OutcomeUnknown(Exception):
    """The transaction had begun when the timeout passed: the patch may be
    recorded or not.
    """


class _Request(NamedTuple):
    admitted: AdmittedPatch
    answer: Future[Receipt | IdTaken]


class Writer:
    """Started once per gateway process, after any fork."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._queue: queue.Queue[_Request] = queue.Queue(_MAX_QUEUED)
        self._recorded_at = float("-inf")
        # No PeriodicThread: it waits for its queue, not for an interval.
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def recorded_at(self) -> float:
        """When the last transaction was committed, on the clock of
        `system.clock.boottime`.
        """
        return self._recorded_at

    def record(self, admitted: AdmittedPatch, timeout_seconds: float) -> Receipt | IdTaken:
        """Record a patch and return the ledger's answer once it is on the disk.

        Raises NotRecorded or OutcomeUnknown after the timeout (after either the
        same request may be sent again), and any error of the database.
        """
        answer: Future[Receipt | IdTaken] = Future()
        try:
            self._queue.put_nowait(_Request(admitted, answer))
        except queue.Full:
            raise NotRecorded("too many patches are waiting to be recorded") from None
        try:
            return answer.result(timeout=timeout_seconds)
        except FutureTimeout:
            # `cancel` succeeds until the thread has picked the request up; a
            # cancelled request is never written.
            if answer.cancel():
                raise NotRecorded("the ledger did not answer in time") from None
            raise OutcomeUnknown("the ledger did not answer in time") from None

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            # Marks each request as picked up, and drops the cancelled ones.
            self._record_batch(
                [item for item in batch if item.answer.set_running_or_notify_cancel()]
            )

    def _next_batch(self) -> list[_Request]:
        """Wait for a request, then take all that are queued by now."""
        batch = [self._queue.get()]
        while len(batch) < _MAX_BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _record_batch(self, batch: Sequence[_Request]) -> None:
        try:
            answers = self._intake.accept([item.admitted for item in batch])
        except Exception as error:  # noqa: BLE001  the thread's edge: the senders get the error, the next batch is recorded
            self._recover(batch, error)
            return
        self._recorded_at = boottime()
        for item, answer in zip(batch, answers, strict=True):
            item.answer.set_result(answer)

    def _recover(self, batch: Sequence[_Request], error: Exception) -> None:
        """Record the patches of a failed batch one by one, or fail them all."""
        # One bad row must not fail the others. A ledger that is locked or full
        # would refuse each of them too, after its own long wait: those share
        # the error.
        if len(batch) > 1 and not isinstance(error, OperationalError):
            for item in batch:
                self._record_batch([item])
            return
        log.warning("accept_failed", admissions=len(batch), reason=str(error)[:300])
        for item in batch:
            item.answer.set_exception(error)

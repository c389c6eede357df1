"""One thread writes what the webhooks accept, many at a time: they share a
transaction and its one sync to the disk.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

import structlog
from sqlalchemy.exc import OperationalError

from gpt_cursor_runner.ledger.patches import AdmittedPatch, IdTaken, Intake, Receipt
from gpt_cursor_runner.system.clock import boottime

log = structlog.get_logger()

_MAX_BATCH = 256
_MAX_WAITING = 1024

_Waiting = tuple[AdmittedPatch, "Future[Receipt | IdTaken]"]


class NotWritten(Exception):
    """The admission was not written, and will not be."""


class OutcomeUnknown(Exception):
    """The ledger was still at it when patience ended: the admission may be kept
    or not.
    """


class Writer:
    """Started once per gateway process, after any fork."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._waiting: queue.Queue[_Waiting] = queue.Queue(_MAX_WAITING)
        self._recorded_at = float("-inf")
        self._thread = threading.Thread(
            target=self._write_for_ever, name="ledger-writer", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def recorded_at(self) -> float:
        """When the ledger last took what was waiting, on the clock of
        `health.clock.boottime`.
        """
        return self._recorded_at

    def accept(self, admission: AdmittedPatch, patience_seconds: float) -> Receipt | IdTaken:
        """The ledger's answer, given after it is on the disk.

        Raises NotWritten or OutcomeUnknown when there is none in time (the same
        request may be sent again after either), and whatever the database
        raised.
        """
        answer: Future[Receipt | IdTaken] = Future()
        try:
            self._waiting.put_nowait((admission, answer))
        except queue.Full:
            raise NotWritten("too many wait already") from None
        try:
            return answer.result(timeout=patience_seconds)
        except FutureTimeout:
            # Whom the thread has not come to yet is taken out of the queue by
            # this, and never written.
            raise (NotWritten if answer.cancel() else OutcomeUnknown)(
                "the ledger was too slow"
            ) from None

    def _write_for_ever(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < _MAX_BATCH:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            self._write([one for one in batch if one[1].set_running_or_notify_cancel()])

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            answers = self._intake.accept([admission for admission, _ in batch])
        except Exception as trouble:  # noqa: BLE001  the thread's edge: the senders are told, the next batch is written
            # One bad row must not cost the others their place. A ledger that is
            # locked or full would refuse them one by one as well, each after
            # its own long wait, so there they share the refusal.
            if len(batch) > 1 and not isinstance(trouble, OperationalError):
                for one in batch:
                    self._write([one])
                return
            log.warning("accept_failed", admissions=len(batch), reason=str(trouble)[:300])
            for _, future in batch:
                future.set_exception(trouble)
            return
        self._recorded_at = boottime()
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

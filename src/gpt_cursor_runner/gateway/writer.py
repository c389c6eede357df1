"""One thread writes what the webhooks accept, many at a time: they share a transaction and its one sync to the disk."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future

import structlog

from gpt_cursor_runner.ledger.intake import Admission, IdTaken, Intake, Receipt

log = structlog.get_logger()

_MAX_BATCH = 256
_MAX_WAITING = 1024

_Waiting = tuple[Admission, "Future[Receipt | IdTaken]"]


class Writer:
    """Started once per gateway process, after any fork."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._waiting: queue.Queue[_Waiting] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._write_for_ever, name="ledger-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def accept(self, admission: Admission, patience_seconds: float) -> Receipt | IdTaken:
        """The ledger's answer, given after it is on the disk.

        Raises TimeoutError when there is none in time (the outcome is then unknown, and the same request may be sent
        again), queue.Full when too many wait, and whatever the database raised.
        """
        answer: Future[Receipt | IdTaken] = Future()
        self._waiting.put_nowait((admission, answer))
        return answer.result(timeout=patience_seconds)

    def _write_for_ever(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < _MAX_BATCH:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            self._write(batch)

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            answers = self._intake.accept([admission for admission, _ in batch])
        except Exception as trouble:  # noqa: BLE001  the thread's edge: the senders are told, the next batch is written
            if len(batch) > 1:
                # One bad row must not cost the others their place.
                for one in batch:
                    self._write([one])
                return
            log.warning("accept_failed", reason=str(trouble)[:300])
            batch[0][1].set_exception(trouble)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

"""The runner's line in the ledger, for those who look from another machine. Its
own work loop writes it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.engine.runner_lock import boot_id
from gpt_cursor_runner.ledger.runners import RunnerRow, Runners

_log = structlog.get_logger(__name__)

_EVERY_SECONDS = 5.0


def host_name() -> str:
    """This machine, as runners name it in the ledger."""
    return socket.gethostname()[:100]


class Roll:
    """Told of every beat, it writes one every five seconds. What the ledger
    refuses is logged and ends nothing.
    """

    def __init__(
        self,
        runners: Runners,
        runner_id: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runners = runners
        self._runner_id = runner_id
        self._clock = clock
        self._monotonic = monotonic
        self._written_at = float("-inf")
        self._refused = False

    def note(self, sequence: int, activity: str, patch_id: str | None) -> None:
        """A beat; the first enters the runner, `stopping` strikes it out."""
        if activity != "stopping" and self._monotonic() - self._written_at < _EVERY_SECONDS:
            return
        self._written_at = self._monotonic()
        try:
            self._write(sequence, activity, patch_id)
            self._refused = False
        except SQLAlchemyError:
            if not self._refused:  # one traceback for one trouble
                _log.warning("runner_not_entered", exc_info=True)
            self._refused = True

    def _write(self, sequence: int, activity: str, patch_id: str | None) -> None:
        now = self._clock()
        if activity == "stopping":
            self._runners.stopped(self._runner_id, now)
        elif not self._runners.beat(self._runner_id, sequence, activity, patch_id, now):
            row = RunnerRow(
                self._runner_id,
                host_name(),
                os.getpid(),
                boot_id(),
                now,
                now,
                sequence,
                activity,
                patch_id,
            )
            self._runners.started(row)

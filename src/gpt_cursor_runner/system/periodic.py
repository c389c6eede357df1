"""Work that goes round in a thread of its own beside the monitor, until it is
stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)

_AFTER_TROUBLE_SECONDS = 1.0


class PeriodicThread:
    """A daemon thread that calls `turn` again and again, resting in between as
    many seconds as the turn returns.

    What a turn raises is logged and ends nothing. `stop` ends the rest at once
    and waits for the turn under way, and for the `last` one after it, but no
    longer than `patience_seconds`.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], float],
        patience_seconds: float,
        last: Callable[[], object] = lambda: None,
    ) -> None:
        self._name, self._turn, self._last, self._patience_seconds = (
            name,
            turn,
            last,
            patience_seconds,
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(self._patience_seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                rest_seconds = self._turn()
            except Exception:  # noqa: BLE001  the loop's edge
                _log.exception("turn_failed", thread=self._name)
                rest_seconds = _AFTER_TROUBLE_SECONDS
            self._stopped.wait(rest_seconds)
        self._last()

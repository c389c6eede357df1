"""Work that is repeated in a thread of its own until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)

_AFTER_FAILURE_SECONDS = 1.0


class PeriodicThread:
    """A daemon thread that calls `turn` again and again and waits after each
    turn for as many seconds as it returned.

    An exception of a turn is logged, and the next turn follows after a second.
    `stop` waits for the turn under way and for the `last` call after it, at
    most `join_seconds`.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], float],
        join_seconds: float,
        last: Callable[[], object] | None = None,
    ) -> None:
        self._name = name
        self._turn = turn
        self._join_seconds = join_seconds
        self._last = last
        self._stopped = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def wake(self) -> None:
        """Start the next turn now, or right after the turn under way."""
        self._woken.set()

    def request_stop(self) -> None:
        """Let the thread end after the turn under way, without waiting for it."""
        self._stopped = True
        self._woken.set()

    def stop(self) -> None:
        self.request_stop()
        self.join(self._join_seconds)

    def join(self, seconds: float) -> None:
        """Wait at most `seconds` for the end of a thread that was started."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped:
            # Cleared before the turn: a call of `wake` during the turn may be
            # about a change that the turn no longer sees.
            self._woken.clear()
            if self._stopped:  # set between the two lines above
                break
            self._woken.wait(self._call_turn())
        if self._last is not None:
            self._last()

    def _call_turn(self) -> float:
        try:
            return self._turn()
        except Exception:  # noqa: BLE001  the loop's edge
            _log.exception("turn_failed", thread=self._name)
            return _AFTER_FAILURE_SECONDS

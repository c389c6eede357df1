"""How late the monitor's ticks are."""

from __future__ import annotations


class TickLag:
    """The longest delay of a tick in the last one to two minutes."""

    _WINDOW_SECONDS = 60.0

    def __init__(self) -> None:
        # Two windows instead of one, so that the maximum does not drop to zero
        # at the moment a window ends.
        self._window_began_at = float("-inf")
        self._current_worst = self._previous_worst = 0.0

    def record(self, at: float, due_at: float) -> None:
        """Note that the tick which was due at `due_at` came at `at`."""
        if at - self._window_began_at > self._WINDOW_SECONDS:
            self._window_began_at = at
            self._previous_worst, self._current_worst = self._current_worst, 0.0
        self._current_worst = max(self._current_worst, at - due_at)

    def worst(self, now: float) -> float:
        """Seconds; zero when no tick was recorded in both windows."""
        if now - self._window_began_at > 2 * self._WINDOW_SECONDS:
            return 0.0
        return max(self._current_worst, self._previous_worst)

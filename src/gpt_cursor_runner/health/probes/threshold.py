"""A limit with hysteresis, so that a figure near it does not flicker. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """Passed from `on` until the figure is back at `off`. With `on` below `off`
    low figures pass it.
    """

    on: float
    off: float

    def passed(self, figure: float | None, was_passed: bool) -> bool:
        """Whether the limit is passed now. An unknown figure does not pass it."""
        if figure is None:
            return False
        if self.on < self.off:
            return figure < self.off if was_passed else figure < self.on
        return figure > self.off if was_passed else figure >= self.on

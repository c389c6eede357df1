"""A limit with two ends, so that a figure that hovers about it does not
flicker. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """Passed from `on` and until the figure is back at `off`. With `on` below
    `off` it is low figures that are bad.
    """

    on: float
    off: float

    def passed(self, figure: float | None, before: bool) -> bool:
        """Whether the limit is passed now, when it was or was not `before`. An
        unknown figure passes nothing.
        """
        if figure is None:
            return False
        if self.on > self.off:
            return figure > self.off if before else figure >= self.on
        return figure < self.off if before else figure < self.on

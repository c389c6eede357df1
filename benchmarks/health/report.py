"""The result of a section and its text: lines, and aims with PASS or MISS beside
the figure.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Aim:
    """One aim. `met` is None when it could not be judged; the figure gives the
    reason.
    """

    name: str
    aim: str
    figure: str
    met: bool | None

    def __str__(self) -> str:
        word = {True: "PASS", False: "MISS", None: "----"}[self.met]
        return f"{word}  {self.name}: {self.figure}  (aim: {self.aim})"


@dataclass
class Section:
    """Grows while its measurements are taken."""

    title: str
    lines: list[str] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)

    def add(self, line: str) -> None:
        self.lines.append(line)

    def aim(self, name: str, aim: str, figure: str, met: bool | None) -> None:
        self.aims.append(Aim(name, aim, figure, met))

    def __str__(self) -> str:
        body = [f"  {line}" for line in [*self.lines, *map(str, self.aims)]]
        return "\n".join([f"== {self.title}", *body, ""])


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median with its quartiles: `0.98 [0.95 1.02]`."""
    if not values:
        return "-"
    middle = statistics.median(values)
    if len(values) < 3:
        return f"{middle:.{digits}f}"
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} [{low:.{digits}f} {high:.{digits}f}]"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below this share of all; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def fitted_slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line fitted by least squares."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope

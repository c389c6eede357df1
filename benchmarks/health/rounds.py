"""All servers in turn, in a rotating order; ratios are taken within a round,
where the machine is the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.health import wrk
from benchmarks.health.report import spread
from benchmarks.health.servers import OURS, Fleet
from benchmarks.health.wrk import Slice

TRIVIAL = "trivial"
NAIVE = "naive"
_DEAF_LIMIT_SECONDS = 4.0


@dataclass(frozen=True)
class Pace:
    """Few and long rounds, for servers that need seconds for an answer."""

    rounds: int
    seconds: int


@dataclass
class Row:
    """The measurements of one server at one number of connections, by round."""

    slices: list[Slice] = field(default_factory=list)
    beside: list[Slice] = field(default_factory=list)  # the trivial route's of the same rounds
    deaf: list[float] = field(default_factory=list)

    def ratios(self, of: Callable[[Slice], float]) -> list[float]:
        """This server's figure over the trivial route's, per round."""
        pairs = zip(self.slices, self.beside, strict=True)
        return [of(slice_) / of(base) for slice_, base in pairs if of(base) > 0]

    def rate_ratio(self) -> float:
        return statistics.median(self.ratios(lambda slice_: slice_.rate) or [0.0])

    def rate(self) -> float:
        return statistics.median(slice_.rate for slice_ in self.slices)

    def answering(self) -> Row:
        """The rounds with at least one answer."""
        pairs = [pair for pair in zip(self.slices, self.beside, strict=True) if pair[0].answers]
        return Row([slice_ for slice_, _ in pairs], [base for _, base in pairs])

    @property
    def seconds(self) -> int:
        return round(sum(slice_.seconds for slice_ in self.slices))

    @property
    def answered(self) -> int:
        return sum(slice_.answers for slice_ in self.slices)


def measure(
    fleet: Fleet,
    names: Sequence[str],
    connections: int,
    rounds: int,
    seconds: int,
    slow: Mapping[str, Pace],
) -> dict[str, Row]:
    """A slice of each server in each round; the servers in `slow` have their
    own pace.
    """
    rows = {name: Row() for name in names}
    for number in range(rounds):
        turn = number % len(names)
        taken: dict[str, Slice] = {}
        for name in [*names[turn:], *names[:turn]]:
            pace = slow.get(name, Pace(rounds, seconds))
            if number < pace.rounds:
                taken[name] = wrk.press(fleet.servers[name], connections, pace.seconds)
                rows[name].deaf.append(_rest(fleet, name))
        for name, slice_ in taken.items():
            rows[name].slices.append(slice_)
            rows[name].beside.append(taken[TRIVIAL])
    return rows


def table(rows: Mapping[str, Row]) -> list[str]:
    """Rates as medians with quartiles; latencies and CPU as medians of the
    ratios to the trivial route.
    """
    measured = "".join(f"{name:>8} {'x':>6}" for name in ("p50 ms", "p99 ms", "CPU us"))
    head = f"{'':20} {'answers/s':>9}  {'x trivial':20}{measured}  deaf s  not well"
    return [head, *(_line(name, row) for name, row in rows.items())]


def against(rows: Mapping[str, Row], name: str = NAIVE) -> tuple[str, float]:
    """The ratio of our rate to that server's; a server that never answered
    counts as one answer in total.
    """
    theirs = rows[name]
    rate = max(theirs.answered, 1) / theirs.seconds
    times = rows[OURS].rate() / rate
    return (
        f"{times:.0f} times" if theirs.answered else f"it answered nothing in {theirs.seconds} s"
    ), times


def _line(name: str, row: Row) -> str:
    timed = row.answering()

    def middle(of: Callable[[Slice], float]) -> float:
        return statistics.median(of(slice_) for slice_ in timed.slices)

    def beside(of: Callable[[Slice], float]) -> str:
        ratios = timed.ratios(of)
        if not ratios:
            return "     -"
        return f"{statistics.median(ratios):6.2f}"

    ratio = spread(row.ratios(lambda slice_: slice_.rate), 3)
    if not row.answered:
        return f"{name:20} {0:9.1f}  {'answers nothing':62}  {max(row.deaf):6.2f}  {_trouble(row)}"
    latency = f"{middle(_p50):7.1f} {beside(_p50)} {middle(_p99):7.1f} {beside(_p99)}"
    cpu = f"{middle(_cpu):7.0f} {beside(_cpu)}"
    return (
        f"{name:20} {row.rate():9.1f}  {ratio:20} {latency} {cpu}  {max(row.deaf):6.2f} "
        f" {_trouble(row)}"
    )


def _trouble(row: Row) -> str:
    counts = {
        "refused": sum(slice_.refused for slice_ in row.slices),
        "lost": sum(slice_.lost for slice_ in row.slices),
        "late": sum(slice_.late for slice_ in row.slices),
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "-"


def _p50(slice_: Slice) -> float:
    return slice_.p50_ms


def _p99(slice_: Slice) -> float:
    return slice_.p99_ms


def _cpu(slice_: Slice) -> float:
    return slice_.cpu_us


def _rest(fleet: Fleet, name: str) -> float:
    """Seconds until the server answers again after its clients have left. A
    server that does not answer is restarted.
    """
    deaf = fleet.servers[name].answers_after(_DEAF_LIMIT_SECONDS)
    if deaf >= _DEAF_LIMIT_SECONDS and name != OURS:
        fleet.restart(name)
    time.sleep(0.05)
    return deaf

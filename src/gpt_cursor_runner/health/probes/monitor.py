"""Checks that the monitor's threads run on time and that the history is written."""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.monitor.monitor import MonitorStats

LAGGING_SECONDS = 2.0
# One run may see a change before the recorder has had its turn.
_BEHIND_RUNS = 2


class MonitorProbe:
    """Reads the statistics of the monitor. A monitor that does not tick is
    detected by the age of its snapshot instead.

    `history_behind` returns the number of changes not yet written to the
    history.
    """

    spec = ProbeSpec(
        "monitor",
        "health_engine",
        Criticality.IMPAIRING,
        interval_seconds=2.0,
        deadline_seconds=2.0,
    )
    codes = CodeTable(
        alive=Code(CheckStatus.OK),
        thread_dead=Code(
            CheckStatus.FAIL, "Restart the gateway; its log has the reason.", fact=True
        ),
        lagging=Code(CheckStatus.WARN),
        history_behind=Code(CheckStatus.WARN, "See the queue check: the ledger rejects writes."),
    )

    def __init__(
        self, stats: Callable[[], MonitorStats], history_behind: Callable[[], int]
    ) -> None:
        self._stats = stats
        self._history_behind = history_behind
        self._runs_behind = 0

    def read(self) -> Reading:
        stats = self._stats()
        behind = self._history_behind()
        self._runs_behind = self._runs_behind + 1 if behind > 0 else 0
        data = {
            "lag_seconds": round(stats.lag_seconds, 3),
            "stuck": list(stats.stuck),
            "dead": list(stats.dead),
            "history_behind": behind,
        }
        if stats.dead:
            message = f"threads that died: {', '.join(stats.dead)}"
            return self.codes.reading("thread_dead", message, data)
        if stats.lag_seconds > LAGGING_SECONDS:
            message = (
                f"a tick of the last two minutes was {stats.lag_seconds:.1f} s late; this machine"
                " is overloaded"
            )
            return self.codes.reading("lagging", message, data)
        if self._runs_behind >= _BEHIND_RUNS:
            message = f"{behind} changes are not yet written to the history"
            return self.codes.reading("history_behind", message, data)
        return self.codes.reading("alive", data=data)

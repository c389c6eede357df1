"""The runners that share the ledger, each as it last said of itself, for those
who look from another machine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import func, select, update

from gpt_cursor_runner.ledger.database import Database, from_row
from gpt_cursor_runner.ledger.schema import runners

_KEPT_SECONDS = 7 * 86_400


@dataclass(frozen=True)
class RunnerRow:
    """One life of one runner; times are epoch seconds, `sequence` grows with
    every turn of its work loop.
    """

    id: str
    host: str
    pid: int
    boot_id: str
    started_at: float
    beat_at: float
    sequence: int
    activity: str
    patch_id: str | None = None
    stopped_at: float | None = None


class Runners:
    """Written by each runner of itself, read by health."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def started(self, row: RunnerRow) -> None:
        """Add a runner, in place of an earlier life of the same id, and forget
        those silent or stopped for a week.
        """
        last_sign = func.coalesce(runners.c.stopped_at, runners.c.beat_at)
        gone = (runners.c.id == row.id) | (last_sign < row.started_at - _KEPT_SECONDS)
        with self._database.write() as connection:
            connection.execute(runners.delete().where(gone))
            connection.execute(runners.insert().values(**asdict(row)))

    def beat(
        self, runner_id: str, sequence: int, activity: str, patch_id: str | None, now: float
    ) -> bool:
        """Note a sign of life; False when the runner is not there (stopped, or
        forgotten): it has to start again.
        """
        values = {"sequence": sequence, "activity": activity, "patch_id": patch_id, "beat_at": now}
        return self._change(runner_id, values)

    def stopped(self, runner_id: str, now: float) -> bool:
        """Note a polite end; False when there was none to end."""
        return self._change(runner_id, {"stopped_at": now, "patch_id": None})

    def all(self, since: float) -> list[RunnerRow]:
        """Those whose last beat came at `since` or later, the freshest first."""
        fresh = (
            select(runners)
            .where(runners.c.beat_at >= since)
            .order_by(runners.c.beat_at.desc(), runners.c.id)
        )
        with self._database.read() as connection:
            rows = connection.execute(fresh)
            return [from_row(RunnerRow, row) for row in rows]

    def _change(self, runner_id: str, values: dict[str, object]) -> bool:
        alive = (runners.c.id == runner_id) & runners.c.stopped_at.is_(None)
        with self._database.write() as connection:
            return connection.execute(update(runners).where(alive).values(values)).rowcount == 1

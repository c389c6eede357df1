"""Runners of other machines, as the ledger tells of them: their sequences timed
by the clock of this reader.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from gpt_cursor_runner.engine.roll import host_name
from gpt_cursor_runner.engine.runner_lock import boot_id
from gpt_cursor_runner.ledger.runners import RunnerRow

_log = structlog.get_logger(__name__)

SILENT_SECONDS = 30.0
_READ_EVERY_SECONDS = 2.0
_MOST_SHOWN = 20


@dataclass(frozen=True)
class OtherRunner:
    """One of them now: up, paused, starting (not yet seen to move), stalled or
    unknown.
    """

    id: str
    host: str
    state: str
    activity: str
    sequence_age_seconds: float


@dataclass(frozen=True)
class _Followed:
    row: RunnerRow
    moved_at: float
    has_moved: bool = False


class OtherRunners:
    """Looks into the ledger every other second at most; what it cannot read, it
    does not know.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[RunnerRow]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._here = (host_name(), boot_id())
        self._followed: dict[str, _Followed] = {}
        self._read_at = float("-inf")
        self._unreadable = False

    def look(self, local_id: str | None) -> tuple[OtherRunner, ...]:
        """All but those of this machine, of whom the lock says more; no more
        than twenty.
        """
        if self._monotonic() - self._read_at >= _READ_EVERY_SECONDS:
            self._read_at = self._monotonic()
            self._follow()
        others = [one for one in self._followed.values() if one.row.id != local_id]
        return tuple(self._seen(one) for one in others[:_MOST_SHOWN])

    def _follow(self) -> None:
        try:
            rows = self._read()
        except Exception:  # noqa: BLE001  a probe's edge: every driver has its own family of errors
            if not self._unreadable:
                _log.warning("runners_unreadable", exc_info=True)
            self._unreadable = True
            return
        self._unreadable, now = False, self._monotonic()
        elsewhere = (
            row for row in rows if row.stopped_at is None and (row.host, row.boot_id) != self._here
        )
        followed = (self._moved(row, now) for row in elsewhere)
        self._followed = {one.row.id: one for one in followed}

    def _moved(self, row: RunnerRow, now: float) -> _Followed:
        before = self._followed.get(row.id)
        if before is None:
            return _Followed(row, now)
        if row.sequence != before.row.sequence:
            return _Followed(row, now, has_moved=True)
        return _Followed(row, before.moved_at, before.has_moved)

    def _seen(self, one: _Followed) -> OtherRunner:
        age = self._monotonic() - one.moved_at
        return OtherRunner(
            one.row.id, one.row.host, self._state(one, age), one.row.activity, round(age, 1)
        )

    def _state(self, one: _Followed, age: float) -> str:
        if self._unreadable:
            return "unknown"
        if age > SILENT_SECONDS:
            return "stalled"
        if not one.has_moved:  # left behind by an earlier run of this machine, perhaps
            return "stalled" if one.row.host == self._here[0] else "starting"
        return "paused" if one.row.activity == "paused" else "up"

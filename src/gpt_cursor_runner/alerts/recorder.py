"""Records the history of health: once a second it compares the latest snapshot
with the state before, and writes what changed into the ledger.

Each comparison is one batch and one transaction: a flip and its alerts are
written together or not at all. A batch that the ledger rejects stays in memory,
in order, and is written later with its own times.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gpt_cursor_runner.alerts.incidents import GATEWAY, AlertPolicy, TrackedStates, compare
from gpt_cursor_runner.alerts.uptime import UptimeTally
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Snapshot
from gpt_cursor_runner.ledger.alerts import AlertStore, Flip, HistoryBatch, IncidentNotOpen
from gpt_cursor_runner.ledger.uptime import UptimeStore
from gpt_cursor_runner.system.clock import boottime
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
# The number of flips that are kept in memory while the ledger rejects writes.
PENDING_FLIPS = 1000
_PRUNE_SECONDS = 3600.0
# Twice the ledger's busy timeout: the last tick may wait for it.
_JOIN_SECONDS = 3.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


class Recorder:
    """Started once for each gateway process. `clock` returns epoch seconds (a
    `SteadyClock`), `monotonic` the monitor's time.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        alerts: AlertStore,
        uptime: UptimeStore,
        policy: AlertPolicy,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = boottime,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
        pending_flips: int = PENDING_FLIPS,
    ) -> None:
        self._snapshot = snapshot
        self._alerts = alerts
        self._uptime = uptime
        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic
        self._new_id = new_id
        self._most_pending_flips = pending_flips
        # None until the ledger has been read: without the last states nothing
        # can be compared.
        self._tracked: TrackedStates | None = None
        self._pending: deque[HistoryBatch] = deque()
        self._unwritten_flips = 0
        self._tally = UptimeTally()
        # Whether the tracked incidents differ from those in the ledger, because
        # a batch was rejected or dropped.
        self._out_of_sync = False
        self._failing = False
        self._failed_in_this_tick = False
        self._pruned_at = -math.inf
        self._thread = PeriodicThread(
            "health-recorder", self._run_tick, _JOIN_SECONDS, last=self.finish
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write the rest, and a flip that the gateway stopped."""
        self._thread.stop()

    def unwritten_flips(self) -> int:
        """The number of flips that are not in the ledger yet."""
        return self._unwritten_flips

    def tick(self) -> None:
        """Record what changed since the last tick. Errors of the ledger are
        logged, and the writes are repeated in later ticks.
        """
        self._failed_in_this_tick = False
        now, wall = self._monotonic(), self._clock()
        verdict = judge(self._snapshot(), now)
        self._tally.add(verdict, now, wall)
        if self._tracked is None:
            self._try(lambda: self._begin(wall))
        if self._tracked is None:
            return
        self._record(self._tracked, verdict, wall)
        self._write_minutes(wall)
        if now - self._pruned_at >= _PRUNE_SECONDS:
            self._pruned_at = now
            self._try(lambda: self._prune(wall))

    def finish(self) -> None:
        """Write the minute under way, and a flip that the gateway stopped."""
        self._failed_in_this_tick = False
        if self._tracked is None:
            return
        stopped = self._gateway_flip(self._tracked, "stopped", "asked", self._clock())
        self._enqueue(HistoryBatch(flips=(stopped,)))
        self._write_minutes(math.inf)

    def _run_tick(self) -> float:
        self.tick()
        return TICK_SECONDS

    def _begin(self, wall: float) -> None:
        tracked = self._read_tracked()
        seconds = unobserved_seconds(self._uptime, wall)
        code = "first"
        if seconds is not None:
            code = f"unobserved_{seconds:.0f}_seconds"
        started = self._gateway_flip(tracked, "started", code, wall)
        last = {**tracked.last, GATEWAY: (started.status, started.code)}
        self._tracked = replace(tracked, last=last)
        self._enqueue(HistoryBatch(flips=(started,)))

    def _read_tracked(self) -> TrackedStates:
        incidents = {incident.subject: incident for incident in self._alerts.open_incidents()}
        return TrackedStates(last=self._alerts.last_states(), open=incidents)

    def _gateway_flip(self, tracked: TrackedStates, status: str, code: str, wall: float) -> Flip:
        before_status, before_code = tracked.last.get(GATEWAY, (None, None))
        return Flip(
            GATEWAY, status, code, before_status, before_code, wall, self._policy.instance_id
        )

    def _record(self, tracked: TrackedStates, verdict: Verdict, wall: float) -> None:
        self._write_pending()
        if self._out_of_sync and not self._pending:
            self._try(self._read_incidents)
            tracked = self._tracked or tracked
        may_withdraw = not self._pending
        after, batch = compare(
            tracked, verdict, wall, self._new_id, self._policy, may_withdraw=may_withdraw
        )
        if not batch.is_empty and not self._enqueue(batch):
            # The batch has to wait, and an alert that it withdraws may be sent
            # until it is written. So it is computed again without withdrawals.
            after, self._pending[-1] = compare(
                tracked, verdict, wall, self._new_id, self._policy, may_withdraw=False
            )
        self._tracked = after

    def _enqueue(self, batch: HistoryBatch) -> bool:
        """Write a batch after those that are pending; returns whether it is
        written.
        """
        self._pending.append(batch)
        self._write_pending()
        return not self._pending

    def _write_pending(self) -> None:
        while self._pending and self._try(lambda: self._write(self._pending[0])):
            self._pending.popleft()
        self._drop_surplus()
        self._unwritten_flips = sum(len(batch.flips) for batch in self._pending)

    def _write(self, batch: HistoryBatch) -> None:
        """Write a batch, or its flips alone when it contradicts the ledger.

        Raises the ledger's other errors: the batch is to be written later.
        """
        flips_only = HistoryBatch(flips=batch.flips)
        try:
            self._alerts.record(flips_only if self._out_of_sync else batch)
        except (IntegrityError, IncidentNotOpen):
            _log.exception("history_batch_rejected")
            self._out_of_sync = True
            self._alerts.record(flips_only)

    def _read_incidents(self) -> None:
        tracked = self._read_tracked()
        if self._tracked is not None:
            # The last states are right: every flip was written or is pending.
            tracked = replace(tracked, last=self._tracked.last)
        self._tracked = tracked
        self._out_of_sync = False

    def _drop_surplus(self) -> None:
        """Drop the oldest batches when too many flips are pending.

        The batches after them are written without alerts, which may be about
        incidents that were dropped.
        """
        dropped, flips = 0, sum(len(batch.flips) for batch in self._pending)
        while max(flips - dropped, len(self._pending)) > self._most_pending_flips:
            dropped += len(self._pending.popleft().flips)
            self._out_of_sync = True
        if dropped:
            _log.error("history_lost", flips=dropped)

    def _write_minutes(self, wall: float) -> None:
        for minute in self._tally.complete_minutes(wall):
            if not self._try(partial(self._write_minute, minute)):
                return

    def _write_minute(self, minute: int) -> None:
        self._uptime.observe(minute, self._tally.seconds(minute))
        self._tally.discard(minute)

    def _prune(self, wall: float) -> None:
        self._alerts.prune(wall)
        self._uptime.prune(wall)

    def _try(self, use_ledger: Callable[[], object]) -> bool:
        """Call `use_ledger`; returns whether the ledger raised no error.

        A trouble is logged once, however long it lasts.
        """
        # Each attempt on a locked ledger waits for the busy timeout. After the
        # first failure the others in this tick are skipped, so that the ticks
        # go on.
        if self._failed_in_this_tick:
            return False
        try:
            use_ledger()
        except SQLAlchemyError as error:
            if not self._failing:
                _log.warning("history_not_written", exc_info=error)
            self._failing = self._failed_in_this_tick = True
            return False
        # A nested attempt may have failed, whose error is already handled.
        if self._failing and not self._failed_in_this_tick:
            _log.info("history_recovered")
            self._failing = False
        return True


def unobserved_seconds(uptime: UptimeStore, wall: float) -> float | None:
    """The seconds since the last observation, to about a minute; None when
    there is none.
    """
    hours = uptime.observations(_HOUR, wall - 90 * _DAY)
    if not hours:
        return None
    last_hour = hours[-1].start
    minutes = uptime.observations(_MINUTE, last_hour)
    last_end = last_hour + _HOUR
    if minutes:
        last_end = minutes[-1].start + _MINUTE
    return max(0.0, wall - last_end)

"""Keeps the history: looks at the snapshot once a second, and writes down what
changed and who has to be told.

A page is one transaction: the flip and the alerts about it are kept together
or not at all. A page that the ledger cannot take waits in memory, in order, and
is written later with its own times.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gpt_cursor_runner.alerts.incidents import GATEWAY, Known, Policy, step
from gpt_cursor_runner.alerts.observing import UptimeTally
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Snapshot
from gpt_cursor_runner.ledger.history import Flip, History, HistoryBatch, NotOpen
from gpt_cursor_runner.system.clock import boottime
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
_TIDY_SECONDS = 3600.0
FLIPS_KEPT = 1000  # while the ledger takes none
_JOIN_SECONDS = 3.0  # the ledger's own patience, twice
_HOUR, _DAY = 3600, 86_400


class Recorder:
    """One per gateway process. `clock` gives epoch seconds (a `SteadyClock`),
    `monotonic` the monitor's moments.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        history: History,
        policy: Policy,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = boottime,
        ids: Callable[[], str] = lambda: secrets.token_hex(16),
        flips_kept: int = FLIPS_KEPT,
    ) -> None:
        self._snapshot, self._history, self._policy = snapshot, history, policy
        self._clock, self._monotonic, self._ids = clock, monotonic, ids
        self._flips_kept = flips_kept
        self._known: Known | None = None
        self._waiting: deque[HistoryBatch] = deque()
        self._behind = 0
        self._tally = UptimeTally()
        self._out_of_step = False  # what is known of incidents is not what the ledger holds
        self._refused = False
        self._asked_in_vain = False
        self._tidied_at = float("-inf")
        self._rounds = PeriodicThread(
            "health-recorder", self._turn, _JOIN_SECONDS, last=self.finish
        )

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        """Write down what is left, and that the gateway stopped."""
        self._rounds.stop()

    def behind(self) -> int:
        """How many flips are not written down yet."""
        return self._behind

    def look(self) -> None:
        """One look: what changed since the last one is written down now, or as
        soon as the ledger takes it.
        """
        self._asked_in_vain = False
        now, wall = self._monotonic(), self._clock()
        verdict = judge(self._snapshot(), now)
        self._tally.add(verdict, now, wall)
        if not self._is_known(wall):
            return
        self._note(verdict, wall)
        self._write_minutes(wall)
        if now - self._tidied_at >= _TIDY_SECONDS:
            self._tidied_at = now
            self._attempt(partial(self._history.prune, wall))

    def finish(self) -> None:
        """The last look's remains: minutes that are not over, and the end
        itself.
        """
        self._asked_in_vain = False
        if self._known is not None:
            self._put(
                HistoryBatch(
                    flips=(self._gateway_flip(self._known, "stopped", "asked", self._clock()),)
                )
            )
            self._write_minutes(None)

    def _turn(self) -> float:
        self.look()
        return LOOK_SECONDS

    def _is_known(self, wall: float) -> bool:
        """Whether the ledger has said how everything stood before; until then
        nothing can be said to have changed.
        """
        if self._known is None:
            self._attempt(partial(self._begin, wall))
        return self._known is not None

    def _begin(self, wall: float) -> None:
        known = self._read_known()
        seconds = unobserved_seconds(self._history, wall)
        code = "first" if seconds is None else f"unobserved_{seconds:.0f}_seconds"
        flip = self._gateway_flip(known, "started", code, wall)
        self._known = replace(known, last={**known.last, GATEWAY: (flip.status, flip.code)})
        self._put(HistoryBatch(flips=(flip,)))

    def _read_known(self) -> Known:
        open_ones = {one.subject: one for one in self._history.open_incidents()}
        return Known(last=self._history.last_states(), open=open_ones)

    def _gateway_flip(self, known: Known, status: str, code: str, wall: float) -> Flip:
        before_status, before_code = known.last.get(GATEWAY, (None, None))
        return Flip(
            GATEWAY, status, code, before_status, before_code, wall, self._policy.instance_id
        )

    def _note(self, verdict: Verdict, wall: float) -> None:
        self._drain()
        if self._out_of_step and not self._waiting:
            self._attempt(self._catch_up)
        assert self._known is not None  # noqa: S101  asked just before
        known, page = step(
            self._known, verdict, wall, self._ids, self._policy, prompt=not self._waiting
        )
        if not page.is_empty and not self._put(page):
            # It waits, and a alert it holds back may have been sent by then:
            # once more, without holding back.
            known, self._waiting[-1] = step(
                self._known, verdict, wall, self._ids, self._policy, prompt=False
            )
        self._known = known

    def _put(self, page: HistoryBatch) -> bool:
        """Write a page, or let it wait behind those that wait; says whether it
        is written.
        """
        self._waiting.append(page)
        self._drain()
        return not self._waiting

    def _drain(self) -> None:
        while self._waiting and self._attempt(partial(self._write, self._waiting[0])):
            self._waiting.popleft()
        self._forget_what_is_too_much()
        self._behind = sum(len(page.flips) for page in self._waiting)

    def _write(self, page: HistoryBatch) -> None:
        """Raises what says that the ledger cannot be written to; a page that is
        wrong is left, but for its flips.
        """
        flips_alone = HistoryBatch(flips=page.flips)
        try:
            self._history.record(flips_alone if self._out_of_step else page)
        except (IntegrityError, NotOpen):
            _log.exception("history_page_refused")
            self._out_of_step = True
            self._history.record(flips_alone)

    def _catch_up(self) -> None:
        assert self._known is not None  # noqa: S101  nothing is out of step before it was read
        self._known = replace(self._read_known(), last=self._known.last)
        self._out_of_step = False

    def _forget_what_is_too_much(self) -> None:
        """Of a long refusal the latest flips are kept, and no alerts: theirs
        may be about pages that are gone.
        """
        lost, kept = 0, sum(len(page.flips) for page in self._waiting)
        while max(kept - lost, len(self._waiting)) > self._flips_kept:
            lost += len(self._waiting.popleft().flips)
            self._out_of_step = True
        if lost:
            _log.error("history_lost", flips=lost)

    def _write_minutes(self, wall: float | None) -> None:
        for minute, seconds in self._tally.due(wall):
            if not self._attempt(partial(self._history.observe, minute, seconds)):
                return
            self._tally.written(minute)

    def _attempt(self, write: Callable[[], object]) -> bool:
        """Whether the ledger took it. One line in the log for one trouble,
        however long it lasts.

        A ledger that is locked lets everybody wait, so it is asked in vain once
        in a look: the looks must go on.
        """
        if self._asked_in_vain:
            return False
        try:
            write()
        except SQLAlchemyError as refused:
            if not self._refused:
                _log.warning("history_not_written", exc_info=refused)
            self._refused = self._asked_in_vain = True
            return False
        if self._refused and not self._asked_in_vain:
            _log.info("history_is_written_again")
            self._refused = False
        return True


def unobserved_seconds(history: History, wall: float) -> float | None:
    """How long nobody looked, to about a minute; None when nobody ever did."""
    hours = history.observations(_HOUR, wall - 90 * _DAY)
    if not hours:
        return None
    last_hour = max(one.start for one in hours)
    ends = [one.start + one.length for one in history.observations(60, last_hour)]
    return max(0.0, wall - max(ends, default=last_hour + _HOUR))

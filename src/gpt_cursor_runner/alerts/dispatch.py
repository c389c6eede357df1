"""Letters leave the outbox: one thread per sink, so that a slow one delays no
check and no other sink.

At least once: a alert is marked as delivered after its sink has it, and a
process that is killed between the two sends it once more, under the same key.
Of one subject no alert overtakes another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.alerts.sink import NotDelivered, Sink
from gpt_cursor_runner.ledger.outbox import Alert, Outbox

_log = structlog.get_logger(__name__)

# A day, in which the sink was really asked: the machine may have been off for
# the whole of it.
GIVE_UP_SECONDS = 24 * 3600.0
GIVE_UP_ATTEMPTS = 10
_GLANCE_SECONDS = 0.5
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0
_JOIN_SECONDS = 0.5


@dataclass(frozen=True)
class Delivery:
    """How a sink does: since when a alert has been under way to it in vain,
    and when it last lost one.
    """

    sink: str
    waiting_since: float | None = None
    trouble: str = ""
    gave_up_at: float | None = None


class AlertSender:
    """Carries the alerts of one sink. `clock` gives epoch seconds, `chance` a
    number from 0 to 1 at random.
    """

    def __init__(
        self, sink: Sink, outbox: Outbox, clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._sink, self._outbox, self._clock, self._chance = sink, outbox, clock, chance
        self._sent: Alert | None = None
        self._ledger_failures = 0
        self.delivery = Delivery(sink.name)

    def run(self, stopped: threading.Event) -> None:
        """Carry until stopped."""
        while not stopped.is_set():
            stopped.wait(self._carry())

    def turn(self) -> bool:
        """Carry one alert; False when none is due. Raises what the ledger
        raises.
        """
        if (
            self._sent
        ):  # it arrived, and the ledger could not take that note: not once more in this process
            self._outbox.delivered(self._sent, self._clock())
            self._sent = None
        alert = self._outbox.next(self._sink.name, self._clock())
        if alert is None:
            return False
        if not self._outbox.begin(
            alert, self._clock()
        ):  # held back just now: nobody need be told any more
            return True
        self._note(waiting_since=self.delivery.waiting_since or alert.created_at)
        try:
            self._sink.send(alert)
        except NotDelivered as refused:
            self._put_off(alert, refused)
        except Exception as raised:  # noqa: BLE001  a sink's edge: whatever it raised, the alert is still owed
            _log.exception("alert_sink_raised", sink=self._sink.name)
            self._put_off(alert, NotDelivered(f"raised {type(raised).__name__}"))
        else:
            self._arrived(alert)
        return True

    def _carry(self) -> float:
        """One turn, and how long to rest after it."""
        try:
            carried = self.turn()
        except Exception:  # noqa: BLE001  the loop's edge: the ledger may take it later
            if self._ledger_failures == 0:
                _log.exception("outbox_unavailable", sink=self._sink.name)
            self._ledger_failures += 1
            return self._wait(self._ledger_failures)
        self._ledger_failures = 0
        return 0.0 if carried else _GLANCE_SECONDS

    def _arrived(self, alert: Alert) -> None:
        self._sent = alert
        self._note()
        _log.info(
            "alert_delivered",
            sink=alert.sink,
            key=alert.key,
            kind=alert.kind,
            subject=alert.subject,
        )
        self._outbox.delivered(alert, self._clock())
        self._sent = None

    def _put_off(self, alert: Alert, refused: NotDelivered) -> None:
        now = self._clock()
        told = {
            "sink": alert.sink,
            "key": alert.key,
            "subject": alert.subject,
            "reason": refused.reason,
        }
        if now - alert.created_at >= GIVE_UP_SECONDS and alert.attempts + 1 >= GIVE_UP_ATTEMPTS:
            self._note(trouble=refused.reason, gave_up_at=now)
            _log.error("alert_given_up", **told)
            self._outbox.give_up(alert, now, refused.reason)
            return
        self._note(waiting_since=self.delivery.waiting_since, trouble=refused.reason)
        if alert.attempts == 0:
            _log.warning("alert_not_delivered", **told)
        wait_seconds = max(self._wait(alert.attempts), refused.wait_seconds)
        self._outbox.failed(alert, now, now + wait_seconds, refused.reason)

    def _wait(self, attempts: int) -> float:
        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(attempts, 20))
        return longest * (0.5 + 0.5 * self._chance())

    def _note(
        self, waiting_since: float | None = None, trouble: str = "", gave_up_at: float | None = None
    ) -> None:
        gave_up_at = gave_up_at or self.delivery.gave_up_at
        self.delivery = Delivery(self._sink.name, waiting_since, trouble, gave_up_at)


class AlertDispatcher:
    """Started once per gateway process; stopping waits for no sink."""

    def __init__(
        self,
        outbox: Outbox,
        sinks: Sequence[Sink],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._outbox, self._clock = outbox, clock
        self._couriers = [AlertSender(sink, outbox, clock, chance) for sink in sinks]
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(
                target=one.run,
                args=(self._stopped,),
                name=f"alerts-{one.delivery.sink}",
                daemon=True,
            )
            for one in self._couriers
        ]

    def start(self) -> None:
        """Carry what is owed to these sinks, and say of alerts to others that
        nobody will.
        """
        try:
            given_up = self._outbox.give_up_all_but(
                [one.delivery.sink for one in self._couriers], self._clock()
            )
        except SQLAlchemyError as refused:
            _log.warning("outbox_unavailable", reason=type(refused).__name__)
        else:
            if given_up:
                _log.warning(
                    "alerts_given_up",
                    alerts=given_up,
                    reason="their sink is not configured any more",
                )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Carry no more; what is under way may still arrive, and is owed until
        it is noted.
        """
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_SECONDS / len(self._threads))

    def deliveries(self) -> tuple[Delivery, ...]:
        """How each sink does, from memory."""
        return tuple(one.delivery for one in self._couriers)

"""Sends the alerts of the outbox, with one thread for each sink, so that a slow
sink delays neither a check nor another sink.

Alerts are sent at least once: an alert is marked as delivered after its sink
has accepted it. A process that is killed between the two sends it again with
the same key. The alerts of one subject stay in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.alerts.sink import NotDelivered, Sink
from gpt_cursor_runner.ledger.alerts import Alert, AlertStore
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

# An alert is given up after a day and ten attempts. The attempts count because
# the machine may have been off for the whole day.
GIVE_UP_SECONDS = 24 * 3600.0
GIVE_UP_ATTEMPTS = 10
_POLL_SECONDS = 0.5
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 300.0
_JOIN_SECONDS = 0.5


@dataclass(frozen=True)
class SinkState:
    """How a sink delivers. `waiting_since` is the creation of the alert that it
    does not accept, `gave_up_at` the last time an alert was given up.
    """

    sink: str
    waiting_since: float | None = None
    trouble: str = ""
    gave_up_at: float | None = None


class AlertSender:
    """Sends the alerts of one sink. `clock` returns epoch seconds, `random` a
    random number from 0 to 1.
    """

    def __init__(
        self,
        sink: Sink,
        outbox: AlertStore,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._sink = sink
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._delivered: Alert | None = None
        self._ledger_failures = 0
        self.state = SinkState(sink.name)

    def send_next(self) -> bool:
        """Send one alert; returns False when none is due. Raises the ledger's
        errors.
        """
        # The sink accepted this alert and the ledger could not be written. The
        # mark is repeated, and the alert is not sent again in this process.
        if self._delivered is not None:
            self._outbox.delivered(self._delivered, self._clock())
            self._delivered = None
        alert = self._outbox.next_due(self._sink.name, self._clock())
        if alert is None:
            return False
        # False when the recorder withdrew it since it was read.
        if self._outbox.begin(alert, self._clock()):
            self._send(alert)
        return True

    def turn(self) -> float:
        """Send one alert; return the seconds until the next attempt."""
        try:
            sent = self.send_next()
        except Exception:  # noqa: BLE001  the loop's edge: the ledger may accept writes later
            if self._ledger_failures == 0:
                _log.exception("outbox_unavailable", sink=self._sink.name)
            self._ledger_failures += 1
            return self._retry_seconds(self._ledger_failures)
        self._ledger_failures = 0
        if sent:
            return 0.0
        return _POLL_SECONDS

    def _send(self, alert: Alert) -> None:
        waiting_since = self.state.waiting_since or alert.created_at
        self.state = replace(self.state, waiting_since=waiting_since, trouble="")
        try:
            self._sink.send(alert)
        except NotDelivered as refusal:
            self._retry_or_give_up(alert, refusal)
        except Exception as error:  # noqa: BLE001  a sink's edge: the alert is pending, whatever it raised
            _log.exception("alert_sink_raised", sink=self._sink.name)
            self._retry_or_give_up(alert, NotDelivered(f"raised {type(error).__name__}"))
        else:
            self._mark_delivered(alert)

    def _mark_delivered(self, alert: Alert) -> None:
        self._delivered = alert
        self.state = replace(self.state, waiting_since=None, trouble="")
        _log.info(
            "alert_delivered",
            sink=alert.sink,
            key=alert.key,
            kind=alert.kind,
            subject=alert.subject,
        )
        self._outbox.delivered(alert, self._clock())
        self._delivered = None

    def _retry_or_give_up(self, alert: Alert, refusal: NotDelivered) -> None:
        now = self._clock()
        log = _log.bind(
            sink=alert.sink, key=alert.key, subject=alert.subject, reason=refusal.reason
        )
        is_old = now - alert.created_at >= GIVE_UP_SECONDS
        if is_old and alert.attempts + 1 >= GIVE_UP_ATTEMPTS:
            self.state = SinkState(self._sink.name, trouble=refusal.reason, gave_up_at=now)
            log.error("alert_given_up")
            self._outbox.give_up(alert, now, refusal.reason)
            return
        self.state = replace(self.state, trouble=refusal.reason)
        if alert.attempts == 0:
            log.warning("alert_not_delivered")
        retry_seconds = max(self._retry_seconds(alert.attempts), refusal.wait_seconds)
        self._outbox.failed(alert, now + retry_seconds, refusal.reason)

    def _retry_seconds(self, attempts: int) -> float:
        """Exponential backoff, of which a random half is taken, so that many
        gateways do not retry at the same moment.
        """
        # The exponent is bounded, because a float overflows at 2 ** 1024.
        longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(attempts, 20))
        return longest * (0.5 + 0.5 * self._random())


class AlertDispatcher:
    """The senders of all sinks. It is started once for each gateway process;
    stopping waits for no sink.
    """

    def __init__(
        self,
        outbox: AlertStore,
        sinks: Sequence[Sink],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._outbox, self._clock = outbox, clock
        self._senders = [AlertSender(sink, outbox, clock, random) for sink in sinks]
        self._threads = [_thread(sender) for sender in self._senders]

    def start(self) -> None:
        """Give up the alerts to sinks that are no longer configured, and begin
        to send the others.
        """
        self._give_up_other_sinks()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing more. An alert that is being sent may still arrive; it
        stays pending until it is marked as delivered.
        """
        for thread in self._threads:
            thread.request_stop()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS / len(self._threads))

    def sink_states(self) -> tuple[SinkState, ...]:
        """The state of every sink, from memory."""
        return tuple(sender.state for sender in self._senders)

    def _give_up_other_sinks(self) -> None:
        sinks = [sender.state.sink for sender in self._senders]
        try:
            given_up = self._outbox.give_up_other_sinks(sinks, self._clock())
        except SQLAlchemyError as error:
            _log.warning("outbox_unavailable", reason=type(error).__name__)
            return
        if given_up:
            reason = "their sink is no longer configured"
            _log.warning("alerts_given_up", alerts=given_up, reason=reason)


def _thread(sender: AlertSender) -> PeriodicThread:
    return PeriodicThread(f"alerts-{sender.state.sink}", sender.turn, _JOIN_SECONDS)

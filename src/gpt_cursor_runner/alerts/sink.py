"""The interface of a sink of alerts, and its two errors."""

from __future__ import annotations

from typing import Protocol

from gpt_cursor_runner.ledger.alerts import Alert


class NotDelivered(Exception):
    """The alert may not have arrived. `wait_seconds` is the least time until
    the next attempt, if the receiver asked for one.

    `reason` is logged and stored. It holds no address: the addresses of chat
    services are secrets.
    """

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait_seconds = reason, wait_seconds


class InvalidSink(Exception):
    """A sink cannot work as it is configured; the message names the setting and
    the fix.
    """


class Sink(Protocol):
    """Sends alerts to one receiver. It is used by one thread, and must return
    in the end.
    """

    name: str

    def send(self, alert: Alert) -> None:
        """Return when the receiver has accepted the alert; raise NotDelivered
        otherwise. Repeats of an alert have the same key.
        """

"""What a sink is: a Protocol, and the two ways in which one can refuse."""

from __future__ import annotations

from typing import Protocol

from gpt_cursor_runner.ledger.outbox import Alert


class NotDelivered(Exception):
    """The alert may not have arrived. `wait_seconds` is how long the other
    side asked to be left alone.

    `reason` is for the owner's log and ledger; it holds no address, for
    addresses of chat services are secrets.
    """

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait_seconds = reason, wait_seconds


class SinkRefused(Exception):
    """A sink cannot work as it is configured; the message names the key and the
    fix.
    """


class Sink(Protocol):
    """Hands alerts to one receiver. Used by one thread; may take as long as it
    takes, but not for ever.
    """

    name: str

    def send(self, alert: Alert) -> None:
        """Return when the receiver has it; raise NotDelivered otherwise. A
        repeat carries the same key.
        """

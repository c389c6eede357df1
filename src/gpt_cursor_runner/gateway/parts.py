"""The parts of a gateway that its views work with, kept as one extension of the
Flask application.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, current_app

from gpt_cursor_runner.config import Config
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.gateway.admission import Admission
from gpt_cursor_runner.gateway.key_cache import KeyCache
from gpt_cursor_runner.gateway.long_poll import LongPoll
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.ledger.ledger import Ledger

_EXTENSION = "gpt_cursor_runner"


@dataclass(frozen=True)
class GatewayParts:
    """`health_word` returns the overall health at this moment."""

    settings: Settings
    ledger: Ledger
    instance_id: str
    keys: KeyCache
    admission: Admission
    writer: Writer
    long_poll: LongPoll
    health_word: Callable[[], str]

    @property
    def config(self) -> Config:
        """The settings in effect; a later request may meet others."""
        return self.settings.config

    def now(self) -> float:
        """The ledger's time, in epoch seconds."""
        return self.ledger.clock()

    def attach_to(self, app: Flask) -> None:
        app.extensions[_EXTENSION] = self


def gateway_parts() -> GatewayParts:
    """The parts of the application that serves the current request."""
    parts: GatewayParts = current_app.extensions[_EXTENSION]
    return parts

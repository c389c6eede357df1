"""Chat, mail and paging services through Apprise, one sink per URL; needs the
extra `alerts`.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpt_cursor_runner.alerts.sink import NotDelivered, Sink, SinkRefused
from gpt_cursor_runner.ledger.outbox import Alert

if TYPE_CHECKING:
    import apprise

_INSTALL = "install it with `pip install 'gpt-cursor-runner[alerts]'`, or empty the list"
_COLOURS = {"resolve": "success", "flapping": "warning"}


class AppriseSink:
    """One service. Its URL holds its password, so nothing says it but the
    settings.
    """

    def __init__(self, name: str, service: apprise.Apprise) -> None:
        self.name = name
        self._service = service

    def send(self, alert: Alert) -> None:
        """One message: the title, and the next step with the incident's id
        under it.
        """
        said = alert.body
        colour = _COLOURS.get(
            alert.kind, "failure" if said["severity"] == "critical" else "warning"
        )
        text = f"{said['next_step']}\nincident {alert.incident_id}"
        try:
            delivered = self._service.notify(body=text, title=said["title"], notify_type=colour)
        except Exception as raised:  # noqa: BLE001  some hundred services, each with errors of its own
            raise NotDelivered(f"the service raised {type(raised).__name__}") from None
        if not delivered:
            raise NotDelivered("the service did not take it")


def apprise_sinks(urls: Sequence[str]) -> list[Sink]:
    """One sink per URL; raise SinkRefused when Apprise or a URL is no good."""
    if not urls:
        return []
    try:
        library = importlib.import_module(
            "apprise"
        )  # some hundred milliseconds, paid by who configures it
    except ImportError as missing:
        raise SinkRefused(
            f"alerts.apprise: the library Apprise is not installed; {_INSTALL}"
        ) from missing
    return [_sink(place, url, library.Apprise()) for place, url in enumerate(urls, start=1)]


def _sink(place: int, url: str, service: apprise.Apprise) -> AppriseSink:
    if not service.add(url):
        raise SinkRefused(
            f"alerts.apprise[{place - 1}]: not a URL that Apprise knows; see `apprise --help`"
        )
    # By what it is, not by its place: alerts owed to one service must not go
    # to another when the list changes.
    return AppriseSink(f"apprise-{hashlib.sha256(url.encode()).hexdigest()[:8]}", service)

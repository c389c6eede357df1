"""Chat, mail and paging services through Apprise, one sink for each URL; needs
the extra `alerts`.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpt_cursor_runner.alerts.sink import InvalidSink, NotDelivered, Sink
from gpt_cursor_runner.ledger.alerts import Alert

if TYPE_CHECKING:
    import apprise

_INSTALL = "install it with `pip install 'gpt-cursor-runner[alerts]'`, or empty the list"


class AppriseSink:
    """One service. Its URL holds a password, so it is neither logged nor part
    of the name.
    """

    def __init__(self, name: str, service: apprise.Apprise) -> None:
        self.name = name
        self._service = service

    def send(self, alert: Alert) -> None:
        """Send one message: the title, the next step, and the incident's id."""
        title = alert.body["title"]
        text = f"{alert.body['next_step']}\nincident {alert.incident_id}"
        try:
            accepted = self._service.notify(
                body=text, title=title, notify_type=_message_type(alert)
            )
        except Exception as error:  # noqa: BLE001  some hundred services, each with errors of its own
            raise NotDelivered(f"the service raised {type(error).__name__}") from None
        if not accepted:
            raise NotDelivered("the service did not accept it")


def apprise_sinks(urls: Sequence[str]) -> list[Sink]:
    """One sink for each URL; raises InvalidSink when Apprise is not installed
    or does not support a URL.
    """
    if not urls:
        return []
    # Imported only where it is configured: it takes some hundred milliseconds.
    try:
        library = importlib.import_module("apprise")
    except ImportError as error:
        raise InvalidSink(
            f"alerts.apprise: the library Apprise is not installed; {_INSTALL}"
        ) from error
    return [_sink(index, url, library.Apprise()) for index, url in enumerate(urls)]


def _sink(index: int, url: str, service: apprise.Apprise) -> AppriseSink:
    if not service.add(url):
        raise InvalidSink(
            f"alerts.apprise[{index}]: Apprise does not support this URL; see `apprise --help`"
        )
    # Named after its URL and not after its place in the list: pending alerts
    # must not go to another service when the list changes.
    return AppriseSink(f"apprise-{hashlib.sha256(url.encode()).hexdigest()[:8]}", service)


def _message_type(alert: Alert) -> str:
    """Apprise's type of message, which services show as a colour."""
    if alert.kind == "resolve":
        return "success"
    if alert.kind == "flapping" or alert.body["severity"] != "critical":
        return "warning"
    return "failure"

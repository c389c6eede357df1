"""The sinks of alerts, one module each; `build_sinks` lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpt_cursor_runner.alerts.sink import Sink
from gpt_cursor_runner.alerts.sinks.apprise import apprise_sinks
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink


def build_sinks(
    webhook_url: str, webhook_secret: str, apprise: Sequence[str], wall: Callable[[], float]
) -> list[Sink]:
    """The configured sinks; raises InvalidSink when one of them cannot work."""
    sinks: list[Sink] = []
    if webhook_url:
        sinks.append(WebhookSink(webhook_url, webhook_secret, wall))
    sinks += apprise_sinks(apprise)
    return sinks

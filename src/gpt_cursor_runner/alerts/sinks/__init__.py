"""Where alerts go, one file each; `build_sinks` is the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpt_cursor_runner.alerts.sink import Sink
from gpt_cursor_runner.alerts.sinks.apprise import apprise_sinks
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink


def build_sinks(
    webhook_url: str, webhook_secret: str, apprise: Sequence[str], wall: Callable[[], float]
) -> list[Sink]:
    """The sinks that are configured; raise SinkRefused when one of them cannot
    work.
    """
    webhook: list[Sink] = [WebhookSink(webhook_url, webhook_secret, wall)] if webhook_url else []
    return [*webhook, *apprise_sinks(apprise)]

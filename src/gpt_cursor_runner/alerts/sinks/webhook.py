"""A POST to the owner's URL, signed as Standard Webhooks specifies, so that the
receiver can reject forgeries.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from gpt_cursor_runner import __version__
from gpt_cursor_runner.alerts.sink import NotDelivered
from gpt_cursor_runner.ledger.alerts import Alert
from gpt_cursor_runner.system.http_client import RequestFailed, fetch

_TIMEOUT_SECONDS = 10.0
# A receiver that asks for a longer wait is tried after an hour, so that a wrong
# Retry-After cannot stop the alerts.
_LONGEST_WAIT_SECONDS = 3600.0


class WebhookSink:
    """An alert is delivered when the receiver answers with 2xx. `webhook-id` is
    the alert's key, the same in every repeat.

    `secret` is whsec_ and base64, as in Standard Webhooks. `wall` is the wall
    clock: receivers reject a signature whose time is far from theirs.
    """

    name = "webhook"

    def __init__(
        self, url: str, secret: str, wall: Callable[[], float], seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self._url, self._wall, self._seconds = url, wall, seconds
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))

    def send(self, alert: Alert) -> None:
        """Send one POST, for at most ten seconds."""
        body = json.dumps(alert.body, separators=(",", ":")).encode()
        try:
            response = fetch("POST", self._url, body, self._headers(alert, body), self._seconds)
        except RequestFailed as error:
            raise NotDelivered(f"no answer ({error.code})") from error
        if not 200 <= response.status < 300:
            retry_after = response.headers.get("retry-after", "").strip()
            raise NotDelivered(f"answered {response.status}", self._wait_seconds(retry_after))

    def _headers(self, alert: Alert, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._wall()))
        signed = b".".join([alert.key.encode(), timestamp.encode(), body])
        digest = hmac.new(self._secret, signed, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "User-Agent": f"gpt-cursor-runner/{__version__}",
            "webhook-id": alert.key,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    def _wait_seconds(self, retry_after: str) -> float:
        seconds = _parse_retry_after(retry_after, self._wall())
        return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS)


def _parse_retry_after(text: str, now: float) -> float:
    """The seconds to wait; RFC 9110 allows a number of seconds and a date."""
    if text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    # A date without an offset is in UTC (RFC 5322 writes it as -0000).
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() - now

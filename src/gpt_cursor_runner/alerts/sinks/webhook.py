"""A POST to the owner's URL, signed after Standard Webhooks so that the
receiver can tell it from a forgery.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from gpt_cursor_runner import __version__
from gpt_cursor_runner.alerts.sink import NotDelivered
from gpt_cursor_runner.ledger.outbox import Alert
from gpt_cursor_runner.system.http_client import RequestFailed, fetch

_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 3600.0  # a receiver that asks for more is asked again all the same


class WebhookSink:
    """Delivered is what the receiver answers with 2xx. `webhook-id` is the
    alert's key, the same in every repeat.

    `secret` is whsec_ and base64, as Standard Webhooks has it; `wall` is the
    wall clock: receivers refuse a signature of another time than theirs.
    """

    name = "webhook"

    def __init__(
        self, url: str, secret: str, wall: Callable[[], float], seconds: float = _SECONDS
    ) -> None:
        self._url, self._wall, self._seconds = url, wall, seconds
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))

    def send(self, alert: Alert) -> None:
        """One POST, for at most ten seconds."""
        body = json.dumps(alert.body, separators=(",", ":")).encode()
        try:
            answer = fetch("POST", self._url, body, self._headers(alert, body), self._seconds)
        except RequestFailed as error:
            raise NotDelivered(f"no answer ({error.code})") from error
        if not 200 <= answer.status < 300:
            raise NotDelivered(f"answered {answer.status}", self._wait_asked(answer.headers))

    def _headers(self, alert: Alert, body: bytes) -> dict[str, str]:
        at = str(int(self._wall()))
        signed = b".".join([alert.key.encode(), at.encode(), body])
        signature = base64.b64encode(
            hmac.new(self._secret, signed, hashlib.sha256).digest()
        ).decode()
        return {
            "Content-Type": "application/json",
            "User-Agent": f"gpt-cursor-runner/{__version__}",
            "webhook-id": alert.key,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}",
        }

    def _wait_asked(self, headers: Mapping[str, str]) -> float:
        said = _seconds_of(headers.get("retry-after", "").strip(), self._wall())
        return min(max(0.0, said), _LONGEST_WAIT_SECONDS)


def _seconds_of(retry_after: str, now: float) -> float:
    """RFC 9110 allows a number of seconds and a date."""
    if retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now

from __future__ import annotations

import base64
import json
import secrets
import sys
import threading
import time
from email.utils import formatdate
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gpt_cursor_runner.alerts.sink import InvalidSink, NotDelivered
from gpt_cursor_runner.alerts.sinks import build_sinks
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from gpt_cursor_runner.ledger.alerts import Alert
from tests.receiver import Receiver

NOW = 1_800_000_000.0
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
BODY = {
    "kind": "trigger",
    "title": "critical: queue fails (locked)",
    "severity": "critical",
    "next_step": "Look. é",
}


def alert(**others: Any) -> Alert:
    defaults: dict[str, Any] = {
        "kind": "trigger",
        "body": BODY,
        "created_at": 0.0,
        "not_before": 0.0,
    }
    return Alert("one-trigger-0-webhook", "webhook", "one", "queue", **(defaults | others))


def webhook(receiver: Receiver, seconds: float = 5.0) -> WebhookSink:
    return WebhookSink(receiver.url, SECRET, time.time, seconds)


def test_the_library_of_the_specification_verifies_the_signature_of_this_body_only():
    receiver = Receiver()
    with receiver.up():
        webhook(receiver).send(alert())
    (received,) = receiver.arrived
    assert (received.method, received.path) == ("POST", "/hook")
    assert received.headers["webhook-id"] == "one-trigger-0-webhook"
    assert Webhook(SECRET).verify(received.body, received.headers) == BODY
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(received.body.replace(b"locked", b"lucked"), received.headers)


@pytest.mark.parametrize("status", [301, 400, 410, 429, 500, 503])
def test_any_status_but_2xx_is_not_delivered(status):
    receiver = Receiver(lambda _: (status, {}))
    with receiver.up(), pytest.raises(NotDelivered, match=f"answered {status}"):
        webhook(receiver).send(alert())


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("120", 120, 120),
        (formatdate(NOW + 1000, usegmt=True), 1000, 1000),
        ("999999", 3600, 3600),
        (formatdate(0, usegmt=True), 0, 0),
        ("soon", 0, 0),
        ("-5", 0, 0),
    ],
    ids=["seconds", "date", "too long", "past", "words", "negative"],
)
def test_retry_after_is_obeyed_up_to_an_hour(retry_after, least, most):
    receiver = Receiver(lambda _: (429, {"Retry-After": retry_after}))
    sink = WebhookSink(receiver.url, SECRET, lambda: NOW)
    with receiver.up(), pytest.raises(NotDelivered) as refused:
        sink.send(alert())
    assert least <= refused.value.wait_seconds <= most


def test_a_receiver_that_is_down_or_hangs_is_reported_by_a_code_without_its_address():
    down = Receiver()
    with pytest.raises(NotDelivered) as refused:
        webhook(down).send(alert())
    assert refused.value.reason == "no answer (refused)"
    gate = threading.Event()
    hanging = Receiver(lambda _: (204 + gate.wait(10), {}))
    with hanging.up(), pytest.raises(NotDelivered, match=r"^no answer \(timed_out\)$"):
        webhook(hanging, seconds=0.3).send(alert())
    gate.set()


def test_apprise_carries_the_title_and_the_next_step():
    receiver = Receiver(lambda _: (200, {}))
    (sink,) = build_sinks("", "", [f"json://127.0.0.1:{receiver.port}/hook"], time.time)
    with receiver.up():
        sink.send(alert())
    body = json.loads(receiver.arrived[0].body)
    assert (body["title"], body["type"]) == (BODY["title"], "failure")
    assert body["message"] == "Look. é\nincident one"


def test_a_failure_of_apprise_is_reported_without_the_url():
    receiver = Receiver(lambda _: (500, {}))
    (sink,) = build_sinks(
        "", "", [f"json://user:hunter2@127.0.0.1:{receiver.port}/hook"], time.time
    )
    with receiver.up(), pytest.raises(NotDelivered) as refused:
        sink.send(alert())
    assert "hunter2" not in refused.value.reason + sink.name


def test_the_configured_sinks_are_built_under_names_that_follow_their_urls():
    urls = ["json://127.0.0.1:1/a", "json://127.0.0.1:1/b"]
    names = [sink.name for sink in build_sinks("http://127.0.0.1:1", SECRET, urls, time.time)]
    reversed_names = [sink.name for sink in build_sinks("", "", urls[::-1], time.time)]
    assert (names[0], names[1:]) == ("webhook", reversed_names[::-1])
    assert build_sinks("", "", [], time.time) == []


def test_a_url_that_apprise_does_not_support_is_rejected_by_its_key():
    with pytest.raises(InvalidSink, match=r"alerts\.apprise\[1\]"):
        build_sinks("", "", ["json://127.0.0.1:1", "no such thing"], time.time)


def test_a_missing_apprise_is_reported_with_the_next_step(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(InvalidSink, match=r"gpt-cursor-runner\[alerts\]"):
        build_sinks("", "", ["json://127.0.0.1:1"], time.time)

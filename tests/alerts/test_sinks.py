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

from gpt_cursor_runner.alerts.sink import NotDelivered, SinkRefused
from gpt_cursor_runner.alerts.sinks import build_sinks
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from gpt_cursor_runner.ledger.outbox import Alert
from tests.receiver import Receiver

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


def test_the_signature_holds_for_the_specifications_own_code_and_for_no_other_body():
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
def test_any_answer_but_a_good_one_is_not_delivered(status):
    receiver = Receiver(lambda _: (status, {}))
    with receiver.up(), pytest.raises(NotDelivered, match=f"answered {status}"):
        webhook(receiver).send(alert())


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("120", 120, 120),
        ("in a thousand seconds", 900, 1000),
        ("999999", 3600, 3600),
        (formatdate(0, usegmt=True), 0, 0),
        ("soon", 0, 0),
        ("-5", 0, 0),
    ],
    ids=["seconds", "date", "too long", "past", "words", "negative"],
)
def test_a_receiver_that_asks_to_be_left_alone_is_left_alone(said, least, most):
    words = formatdate(time.time() + 1000, usegmt=True) if said == "in a thousand seconds" else said
    receiver = Receiver(lambda _: (429, {"Retry-After": words}))
    with receiver.up(), pytest.raises(NotDelivered) as refused:
        webhook(receiver).send(alert())
    assert least <= refused.value.wait_seconds <= most


def test_a_receiver_that_is_away_or_hangs_is_named_by_a_code_and_not_by_its_address():
    away = Receiver()
    with pytest.raises(NotDelivered) as refused:
        webhook(away).send(alert())
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
    said = json.loads(receiver.arrived[0].body)
    assert (said["title"], said["type"]) == (BODY["title"], "failure")
    assert said["message"] == "Look. é\nincident one"


def test_apprise_that_cannot_deliver_says_so_without_the_url():
    receiver = Receiver(lambda _: (500, {}))
    (sink,) = build_sinks(
        "", "", [f"json://user:hunter2@127.0.0.1:{receiver.port}/hook"], time.time
    )
    with receiver.up(), pytest.raises(NotDelivered) as refused:
        sink.send(alert())
    assert "hunter2" not in refused.value.reason + sink.name


def test_the_configured_sinks_are_built_under_names_that_follow_their_urls():
    urls = ["json://127.0.0.1:1/a", "json://127.0.0.1:1/b"]
    there = [one.name for one in build_sinks("http://127.0.0.1:1", SECRET, urls, time.time)]
    back = [one.name for one in build_sinks("", "", urls[::-1], time.time)]
    assert (there[0], there[1:]) == ("webhook", back[::-1])
    assert build_sinks("", "", [], time.time) == []


def test_a_url_that_apprise_does_not_know_is_refused_by_its_key():
    with pytest.raises(SinkRefused, match=r"alerts\.apprise\[1\]"):
        build_sinks("", "", ["json://127.0.0.1:1", "no such thing"], time.time)


def test_apprise_that_is_not_installed_is_refused_with_the_next_step(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(SinkRefused, match=r"gpt-cursor-runner\[alerts\]"):
        build_sinks("", "", ["json://127.0.0.1:1"], time.time)

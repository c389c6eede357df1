from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.alerts.dispatch import (
    AlertDispatcher,
    AlertSender,
    SinkState,
)
from gpt_cursor_runner.alerts.probe import AlertsProbe
from gpt_cursor_runner.alerts.sink import NotDelivered, Sink
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.ledger.alerts import Alert, HistoryBatch, Incident
from gpt_cursor_runner.ledger.ledger import Ledger
from tests.building import make_ledger
from tests.health.builders import Clock, until
from tests.receiver import Received, Receiver

SECRET = "whsec_" + "c2VjcmV0" * 4
ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


class FakeSink:
    """Stores the keys of the alerts it accepts; `before` may refuse them."""

    def __init__(
        self, name: str = "webhook", before: Callable[[Alert], None] = lambda _: None
    ) -> None:
        self.name, self._before = name, before
        self.accepted: list[str] = []

    def send(self, alert: Alert) -> None:
        self._before(alert)
        self.accepted.append(alert.key)


def refusing(reason: str = "answered 500", wait_seconds: float = 0.0) -> Callable[[Alert], None]:
    def refuse(_: Alert) -> None:
        raise NotDelivered(reason, wait_seconds)

    return refuse


def write_alerts(
    ledger: Ledger, *kinds: str, subject: str = "queue", sink: str = "webhook", at: float = 1000.0
) -> list[str]:
    """Write an incident with these alerts, pending since `at`; returns their
    keys.
    """
    name = f"incident-{next(_numbers)}"
    keys = [f"{name}-{kind}-{index}-{sink}" for index, kind in enumerate(kinds)]
    alerts = [
        Alert(key, sink, name, subject, kind, {"key": key}, at, at)
        for key, kind in zip(keys, kinds, strict=True)
    ]
    ledger.alerts.record(
        HistoryBatch(
            opened=(Incident(name, subject, "critical", "broken", at, at),), alerts=tuple(alerts)
        )
    )
    return keys


def make_sender(
    ledger: Ledger, sink: Sink, clock: Callable[[], float] | None = None
) -> AlertSender:
    return AlertSender(sink, ledger.alerts, clock or Clock(), lambda: 1.0)


@contextmanager
def dispatching(ledger: Ledger, sinks: Sequence[Sink]) -> Iterator[AlertDispatcher]:
    dispatch = AlertDispatcher(ledger.alerts, sinks, time.time, lambda: 0.0)
    dispatch.start()
    try:
        yield dispatch
    finally:
        dispatch.stop()


def test_alerts_arrive_in_order_and_are_no_longer_pending(ledger):
    keys = write_alerts(ledger, "trigger", "reminder", "resolve")
    sink = FakeSink()
    sender = make_sender(ledger, sink)
    assert [sender.send_next() for _ in range(4)] == [True, True, True, False]
    assert (sink.accepted, ledger.alerts.pending_count()) == (keys, 0)


def test_an_alert_that_is_held_is_not_sent_before_its_time(ledger):
    write_alerts(ledger, "trigger", at=1006.0)
    clock, sink = Clock(1000.0), FakeSink()
    sender = make_sender(ledger, sink, clock)
    assert not sender.send_next()
    clock.now = 1006.0
    assert sender.send_next()
    assert len(sink.accepted) == 1


def test_a_refused_alert_is_retried_with_backoff_and_keeps_its_place_in_its_subject(
    ledger,
):
    keys = write_alerts(ledger, "trigger", "resolve")
    (other,) = write_alerts(ledger, "trigger", subject="disk")
    clock, attempts = Clock(1000.0), []

    def refuse(alert: Alert) -> None:
        attempts.append((alert.key, clock.now))
        if alert.subject == "queue":
            raise NotDelivered("answered 500")

    sender = make_sender(ledger, FakeSink(before=refuse), clock)
    for second in range(1000, 2200):
        clock.now = float(second)
        while sender.send_next():
            pass
    assert [key for key, _ in attempts if key != keys[0]] == [other]
    times = [at for key, at in attempts if key == keys[0]]
    assert [after - before for before, after in itertools.pairwise(times)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        300,
        300,
    ]


def test_the_backoff_is_random(ledger):
    write_alerts(ledger, "trigger")
    clock = Clock(1000.0)
    sender = AlertSender(FakeSink(before=refusing()), ledger.alerts, clock, lambda: 0.0)
    sender.send_next()
    clock.now = 1000.5
    assert sender.send_next()


def test_the_wait_that_a_receiver_asks_for_is_kept(ledger):
    write_alerts(ledger, "trigger")
    clock, sink = Clock(1000.0), FakeSink(before=refusing(wait_seconds=120.0))
    sender = make_sender(ledger, sink, clock)
    sender.send_next()
    clock.now = 1119.0
    assert not sender.send_next()
    clock.now = 1120.0
    assert sender.send_next()


def test_after_a_day_of_attempts_an_alert_is_given_up_and_the_next_is_sent(ledger):
    keys = write_alerts(ledger, "trigger", "resolve")
    clock, attempts = Clock(1000.0), []

    def refuse(alert: Alert) -> None:
        if alert.key == keys[0]:
            attempts.append(clock.now)
            raise NotDelivered("answered 410")

    sink = FakeSink(before=refuse)
    sender = make_sender(ledger, sink, clock)
    while not sink.accepted:
        clock.now += 3600.0
        sender.send_next()
    assert (sink.accepted, len(attempts)) == (keys[1:], 24)
    assert sender.state.gave_up_at == 1000.0 + 86_400


def test_an_alert_gets_its_attempts_after_the_machine_was_off_for_days(ledger):
    write_alerts(ledger, "trigger")
    clock = Clock(1000.0 + 10 * 86_400)
    sender = make_sender(ledger, FakeSink(before=refusing()), clock)
    attempts = 0
    while ledger.alerts.pending_count():
        attempts += sender.send_next()
        clock.now += 300.0
    assert attempts == 10


def test_a_sink_that_raises_any_error_did_not_accept_the_alert(ledger):
    write_alerts(ledger, "trigger")

    def explode(_: Alert) -> None:
        raise RuntimeError("token=hunter2")

    sender = make_sender(ledger, FakeSink(before=explode))
    assert sender.send_next()
    assert (ledger.alerts.pending_count(), sender.state.trouble) == (1, "raised RuntimeError")


def test_an_alert_that_is_withdrawn_at_the_last_moment_is_not_sent(ledger, monkeypatch):
    write_alerts(ledger, "trigger")
    (incident,) = ledger.alerts.open_incidents()
    alert = ledger.alerts.next_due("webhook", 1000.0)
    sink = FakeSink()
    sender = make_sender(ledger, sink)
    monkeypatch.setattr(ledger.alerts, "next_due", lambda *_: alert)
    ledger.alerts.record(HistoryBatch(muted={incident.id: "disk"}))
    assert sender.send_next()
    assert sink.accepted == []


def test_a_delivery_that_could_not_be_marked_is_marked_later_and_not_repeated(ledger, monkeypatch):
    write_alerts(ledger, "trigger")
    sink, delivered = FakeSink(), ledger.alerts.delivered
    sender = make_sender(ledger, sink)

    def locked(*_: Any) -> bool:
        raise OSError("database is locked")

    monkeypatch.setattr(ledger.alerts, "delivered", locked)
    with pytest.raises(OSError, match="locked"):
        sender.send_next()
    monkeypatch.setattr(ledger.alerts, "delivered", delivered)
    assert not sender.send_next()
    assert (len(sink.accepted), ledger.alerts.pending_count()) == (1, 0)


def test_a_hanging_sink_delays_neither_another_sink_nor_the_end(ledger):
    gate = threading.Event()
    hanging, quick = FakeSink("apprise-1", lambda _: (gate.wait(20), None)[1]), FakeSink()
    write_alerts(ledger, "trigger", sink="apprise-1")
    keys = write_alerts(ledger, "trigger", "resolve", subject="disk")
    with dispatching(ledger, [hanging, quick]) as dispatch:
        assert until(lambda: quick.accepted == keys)
        # Its own thread may begin after the quick one has ended.
        assert until(
            lambda: [state.waiting_since for state in dispatch.sink_states()] == [1000.0, None]
        )
        dispatch.stop()
        assert hanging.accepted == []
        gate.set()


def test_a_receiver_that_was_down_and_then_failed_gets_every_alert_in_order(ledger):
    answers = iter([500, 503])
    receiver = Receiver(lambda _: (next(answers, 204), {}))
    keys = write_alerts(ledger, "trigger", "resolve", at=time.time())
    with dispatching(ledger, [WebhookSink(receiver.url, SECRET, time.time)]) as dispatch:
        assert until(lambda: dispatch.sink_states()[0].trouble == "no answer (refused)")
        with receiver.up():
            assert until(lambda: ledger.alerts.pending_count() == 0, 20)
    arrived = [request.headers["webhook-id"] for request in receiver.arrived]
    assert arrived == [keys[0], keys[0], keys[0], keys[1]]


def test_alerts_to_a_sink_that_is_no_longer_configured_are_given_up(ledger):
    write_alerts(ledger, "trigger", sink="apprise-gone")
    with dispatching(ledger, [FakeSink()]):
        assert ledger.alerts.pending_count() == 0


PROGRAM = """
import sys, time
from pathlib import Path
from gpt_cursor_runner.alerts.dispatch import AlertDispatcher
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from tests.building import make_ledger
ledger = make_ledger(Path(sys.argv[1]))
AlertDispatcher(ledger.alerts, [WebhookSink(sys.argv[2], sys.argv[3], time.time)], time.time, lambda: 0.0).start()
time.sleep(60)
"""


def test_a_process_killed_before_it_marked_a_delivery_repeats_it_with_the_same_key(tmp_path):
    ledger = make_ledger(tmp_path / "state")
    keys = write_alerts(ledger, "trigger", "resolve")
    running: list[subprocess.Popen[bytes]] = []

    def killed_at_first(received: Received) -> tuple[int, dict[str, str]]:
        if len(receiver.arrived) == 1:
            running[0].kill()  # the receiver has the alert; its sender is not answered
            running[0].wait()
        return 204, {}

    receiver = Receiver(killed_at_first)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "state"), receiver.url, SECRET]
    with receiver.up():
        try:
            running.append(subprocess.Popen(command, cwd=ROOT))
            assert until(lambda: running[0].poll() is not None, 30)
            assert ledger.alerts.pending_count() == 2
            running.append(subprocess.Popen(command, cwd=ROOT))
            assert until(lambda: ledger.alerts.pending_count() == 0, 30)
        finally:
            for process in running:
                process.kill()
                process.wait()
    ledger.close()
    assert [request.headers["webhook-id"] for request in receiver.arrived] == [
        keys[0],
        keys[0],
        keys[1],
    ]
    assert [json.loads(request.body)["key"] for request in receiver.arrived] == [
        keys[0],
        keys[0],
        keys[1],
    ]


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (SinkState("webhook"), CheckStatus.OK, "delivering"),
        (SinkState("webhook", waiting_since=500.0), CheckStatus.OK, "delivering"),
        (SinkState("webhook", waiting_since=399.0), CheckStatus.WARN, "undelivered"),
        (SinkState("webhook", gave_up_at=900.0), CheckStatus.WARN, "given_up"),
        (SinkState("webhook", gave_up_at=1000.0 - 86_400), CheckStatus.OK, "delivering"),
    ],
)
def test_alerts_that_are_undelivered_for_ten_minutes_or_given_up_are_a_warning(state, status, code):
    reading = AlertsProbe(lambda: (SinkState("apprise-1"), state), Clock(1000.0)).read()
    assert (reading.status, reading.code) == (status, code)
    assert set(reading.data) == {"apprise-1", "webhook"}

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
    GIVE_UP_ATTEMPTS,
    GIVE_UP_SECONDS,
    AlertDispatcher,
    AlertSender,
    Delivery,
)
from gpt_cursor_runner.alerts.probe import AlertsProbe
from gpt_cursor_runner.alerts.sink import NotDelivered, Sink
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from gpt_cursor_runner.health.monitor.model import Status
from gpt_cursor_runner.ledger.history import HistoryBatch, Incident
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.outbox import Alert
from tests.building import make_ledger
from tests.health.builders import Clock, until
from tests.receiver import Received, Receiver

SECRET = "whsec_" + "c2VjcmV0" * 4
ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


class Remembering:
    """A sink that keeps the keys it took, and does first what it is told to."""

    def __init__(
        self, name: str = "webhook", first: Callable[[Alert], None] = lambda _: None
    ) -> None:
        self.name, self._first = name, first
        self.taken: list[str] = []

    def send(self, alert: Alert) -> None:
        self._first(alert)
        self.taken.append(alert.key)


def refusing(reason: str = "answered 500", wait_seconds: float = 0.0) -> Callable[[Alert], None]:
    def refuse(_: Alert) -> None:
        raise NotDelivered(reason, wait_seconds)

    return refuse


def owe(
    ledger: Ledger, *kinds: str, subject: str = "queue", sink: str = "webhook", at: float = 1000.0
) -> list[str]:
    """An incident with these alerts, owed since `at`; their keys."""
    name = f"incident-{next(_numbers)}"
    keys = [f"{name}-{kind}-{place}-{sink}" for place, kind in enumerate(kinds)]
    alerts = [
        Alert(key, sink, name, subject, kind, {"key": key}, at, at)
        for key, kind in zip(keys, kinds, strict=True)
    ]
    ledger.history.record(
        HistoryBatch(
            opened=(Incident(name, subject, "critical", "broken", at, at),), alerts=tuple(alerts)
        )
    )
    return keys


def courier(ledger: Ledger, sink: Sink, clock: Callable[[], float] | None = None) -> AlertSender:
    return AlertSender(sink, ledger.outbox, clock or Clock(), lambda: 1.0)


@contextmanager
def carrying(ledger: Ledger, sinks: Sequence[Sink]) -> Iterator[AlertDispatcher]:
    dispatch = AlertDispatcher(ledger.outbox, sinks, time.time, lambda: 0.0)
    dispatch.start()
    try:
        yield dispatch
    finally:
        dispatch.stop()


def test_letters_arrive_in_order_and_are_owed_no_more(ledger):
    keys = owe(ledger, "trigger", "reminder", "resolve")
    sink = Remembering()
    one = courier(ledger, sink)
    assert [one.turn() for _ in range(4)] == [True, True, True, False]
    assert (sink.taken, ledger.outbox.owed()) == (keys, 0)


def test_a_letter_that_is_held_is_not_sent_before_its_time(ledger):
    owe(ledger, "trigger", at=1006.0)
    clock, sink = Clock(1000.0), Remembering()
    one = courier(ledger, sink, clock)
    assert not one.turn()
    clock.now = 1006.0
    assert one.turn()
    assert len(sink.taken) == 1


def test_a_refused_letter_is_tried_again_ever_more_slowly_and_none_of_its_subject_overtakes_it(
    ledger,
):
    keys = owe(ledger, "trigger", "resolve")
    (other,) = owe(ledger, "trigger", subject="disk")
    clock, tried = Clock(1000.0), []

    def refuse(alert: Alert) -> None:
        tried.append((alert.key, clock.now))
        if alert.subject == "queue":
            raise NotDelivered("answered 500")

    one = courier(ledger, Remembering(first=refuse), clock)
    for second in range(1000, 1700):
        clock.now = float(second)
        while one.turn():
            pass
    assert [key for key, _ in tried if key != keys[0]] == [other]
    times = [at for key, at in tried if key == keys[0]]
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
    ]


def test_chance_spreads_the_tries(ledger):
    owe(ledger, "trigger")
    clock = Clock(1000.0)
    one = AlertSender(Remembering(first=refusing()), ledger.outbox, clock, lambda: 0.0)
    one.turn()
    clock.now = 1000.5
    assert one.turn()


def test_a_receiver_that_asks_for_time_gets_it(ledger):
    owe(ledger, "trigger")
    clock, sink = Clock(1000.0), Remembering(first=refusing(wait_seconds=120.0))
    one = courier(ledger, sink, clock)
    one.turn()
    clock.now = 1119.0
    assert not one.turn()
    clock.now = 1120.0
    assert one.turn()


def test_after_a_day_of_tries_a_letter_is_given_up_and_the_next_comes_to_its_turn(ledger):
    keys = owe(ledger, "trigger", "resolve")
    clock, tries = Clock(1000.0), []

    def refuse(alert: Alert) -> None:
        if alert.key == keys[0]:
            tries.append(clock.now)
            raise NotDelivered("answered 410")

    sink = Remembering(first=refuse)
    one = courier(ledger, sink, clock)
    while not sink.taken:
        clock.now += 3600.0
        one.turn()
    assert (sink.taken, len(tries)) == (keys[1:], 24)
    assert one.delivery.gave_up_at == 1000.0 + GIVE_UP_SECONDS


def test_a_machine_that_was_off_for_a_day_gives_its_letters_their_tries(ledger):
    owe(ledger, "trigger")
    clock = Clock(1000.0 + 10 * GIVE_UP_SECONDS)
    one = courier(ledger, Remembering(first=refusing()), clock)
    tries = 0
    while ledger.outbox.owed():
        tries += one.turn()
        clock.now += 300.0
    assert tries == GIVE_UP_ATTEMPTS


def test_a_sink_that_raises_anything_is_a_sink_that_did_not_take_it(ledger):
    owe(ledger, "trigger")

    def explode(_: Alert) -> None:
        raise RuntimeError("token=hunter2")

    one = courier(ledger, Remembering(first=explode))
    assert one.turn()
    assert (ledger.outbox.owed(), one.delivery.trouble) == (1, "raised RuntimeError")


def test_a_letter_held_back_at_the_last_moment_is_not_sent(ledger, monkeypatch):
    owe(ledger, "trigger")
    (incident,) = ledger.history.open_incidents()
    alert = ledger.outbox.next("webhook", 1000.0)
    sink = Remembering()
    one = courier(ledger, sink)
    monkeypatch.setattr(ledger.outbox, "next", lambda *_: alert)
    ledger.history.record(HistoryBatch(muted={incident.id: "disk"}))
    assert one.turn()
    assert sink.taken == []


def test_a_note_that_the_ledger_could_not_take_is_made_later_without_sending_again(
    ledger, monkeypatch
):
    owe(ledger, "trigger")
    sink, note = Remembering(), ledger.outbox.delivered
    one = courier(ledger, sink)

    def locked(*_: Any) -> bool:
        raise OSError("database is locked")

    monkeypatch.setattr(ledger.outbox, "delivered", locked)
    with pytest.raises(OSError, match="locked"):
        one.turn()
    monkeypatch.setattr(ledger.outbox, "delivered", note)
    assert not one.turn()
    assert (len(sink.taken), ledger.outbox.owed()) == (1, 0)


def test_a_hanging_sink_delays_no_other_and_no_end(ledger):
    gate = threading.Event()
    hanging, quick = Remembering("apprise-1", lambda _: (gate.wait(10), None)[1]), Remembering()
    owe(ledger, "trigger", sink="apprise-1")
    keys = owe(ledger, "trigger", "resolve", subject="disk")
    with carrying(ledger, [hanging, quick]) as dispatch:
        assert until(lambda: quick.taken == keys)
        # Its own thread may begin after the quick one has ended.
        assert until(
            lambda: (
                {one.sink: one.waiting_since for one in dispatch.deliveries()}["apprise-1"]
                == 1000.0
            )
        )
        began = time.monotonic()
        dispatch.stop()
        assert time.monotonic() - began < 2.0
    gate.set()


def test_a_receiver_that_was_away_and_then_ill_gets_every_letter_once_and_in_order(ledger):
    answers = iter([500, 503])
    receiver = Receiver(lambda _: (next(answers, 204), {}))
    keys = owe(ledger, "trigger", "resolve", at=time.time())
    with carrying(ledger, [WebhookSink(receiver.url, SECRET, time.time)]) as dispatch:
        assert until(lambda: dispatch.deliveries()[0].trouble == "no answer (refused)")
        with receiver.up():
            assert until(lambda: ledger.outbox.owed() == 0, 20)
    arrived = [one.headers["webhook-id"] for one in receiver.arrived]
    assert arrived == [keys[0], keys[0], keys[0], keys[1]]


def test_letters_to_a_sink_that_is_configured_no_more_are_given_up(ledger):
    owe(ledger, "trigger", sink="apprise-gone")
    with carrying(ledger, [Remembering()]):
        assert ledger.outbox.owed() == 0


PROGRAM = """
import sys, time
from pathlib import Path
from gpt_cursor_runner.alerts.dispatch import AlertDispatcher
from gpt_cursor_runner.alerts.sinks.webhook import WebhookSink
from tests.building import make_ledger
ledger = make_ledger(Path(sys.argv[1]))
AlertDispatcher(ledger.outbox, [WebhookSink(sys.argv[2], sys.argv[3], time.time)], time.time, lambda: 0.0).start()
time.sleep(60)
"""


def test_a_process_killed_before_it_could_note_a_delivery_repeats_it_under_the_same_key(tmp_path):
    ledger = make_ledger(tmp_path / "state")
    keys = owe(ledger, "trigger", "resolve")
    running: list[subprocess.Popen[bytes]] = []

    def killed_at_first(received: Received) -> tuple[int, dict[str, str]]:
        if len(receiver.arrived) == 1:
            running[0].kill()  # the receiver has the alert; its sender never learns
            running[0].wait()
        return 204, {}

    receiver = Receiver(killed_at_first)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "state"), receiver.url, SECRET]
    with receiver.up():
        try:
            running.append(subprocess.Popen(command, cwd=ROOT))
            assert until(lambda: running[0].poll() is not None, 30)
            assert ledger.outbox.owed() == 2
            running.append(subprocess.Popen(command, cwd=ROOT))
            assert until(lambda: ledger.outbox.owed() == 0, 30)
        finally:
            for one in running:
                one.kill()
                one.wait()
    ledger.close()
    assert [one.headers["webhook-id"] for one in receiver.arrived] == [keys[0], keys[0], keys[1]]
    assert [json.loads(one.body)["key"] for one in receiver.arrived] == [keys[0], keys[0], keys[1]]


@pytest.mark.parametrize(
    ("delivery", "status", "code"),
    [
        (Delivery("webhook"), Status.OK, "delivering"),
        (Delivery("webhook", waiting_since=500.0), Status.OK, "delivering"),
        (Delivery("webhook", waiting_since=399.0), Status.WARN, "undelivered"),
        (Delivery("webhook", gave_up_at=900.0), Status.WARN, "given_up"),
        (Delivery("webhook", gave_up_at=1000.0 - 86_400), Status.OK, "delivering"),
    ],
)
def test_alerts_that_do_not_arrive_for_ten_minutes_or_are_lost_are_a_warning(
    delivery, status, code
):
    found = AlertsProbe(lambda: (Delivery("apprise-1"), delivery), Clock(1000.0)).read()
    assert (found.status, found.code, set(found.data)) == (status, code, {"apprise-1", "webhook"})

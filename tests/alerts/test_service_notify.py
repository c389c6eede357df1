from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from gpt_cursor_runner.alerts.service_notify import ServiceNotifier
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import CheckStatus, Snapshot
from tests.health.builders import (
    NOW,
    FixedProbe,
    check,
    gateway_checks,
    make_spec,
    monitor_of,
    snapshot,
    until,
)


@dataclass
class Manager:
    """A real datagram socket where systemd would have its own."""

    address: str
    socket: socket.socket

    def lines(self) -> list[str]:
        received = []
        while True:
            try:
                received.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return received


@pytest.fixture
def manager(tmp_path) -> Iterator[Manager]:
    with listening(str(tmp_path / "notify")) as listener:
        yield listener


@contextmanager
def listening(address: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address.replace("@", "\0", 1))
        server.setblocking(False)
        yield Manager(address, server)


@dataclass
class Stage:
    """The snapshot that is judged, and when; a test changes both."""

    snapshot: Snapshot = field(default_factory=lambda: snapshot(*gateway_checks()))
    now: float = NOW

    def verdict(self) -> Verdict:
        return judge(self.snapshot, self.now)


def test_ready_is_sent_once_and_the_status_when_it_changes(manager):
    stage = Stage()
    notify = ServiceNotifier(manager.address, 0, stage.verdict)
    notify.notify()
    notify.notify()
    assert manager.lines() == ["READY=1", "STATUS=healthy"]
    stage.snapshot = snapshot(
        *gateway_checks(queue=check("queue", CheckStatus.FAIL, code="locked"))
    )
    notify.notify()
    assert manager.lines() == ["STATUS=unknown, queue.locked"]


def test_neither_ready_nor_watchdog_is_sent_before_the_gateway_answered_itself(manager):
    stage = Stage(snapshot(*gateway_checks(web=check("web", None))))
    ServiceNotifier(manager.address, 0.001, stage.verdict).notify()
    assert [line for line in manager.lines() if not line.startswith("STATUS")] == []


def test_the_watchdog_is_fed_while_the_gateway_works_only(manager):
    slow_web = check("web", spec=make_spec("web", interval_seconds=60.0))
    stage = Stage(snapshot(*gateway_checks(web=slow_web)))
    notify = ServiceNotifier(manager.address, 1e-6, stage.verdict)
    notify.notify()
    assert "WATCHDOG=1" in manager.lines()
    stage.now = NOW + 6  # no tick for six seconds
    notify.notify()
    assert "WATCHDOG=1" not in manager.lines()
    stage.now, stage.snapshot = NOW, snapshot(*gateway_checks(web=check("web", CheckStatus.FAIL)))
    notify.notify()
    assert "WATCHDOG=1" not in manager.lines()


def test_the_watchdog_is_not_fed_at_every_poll(manager):
    notify = ServiceNotifier(manager.address, 3600, Stage().verdict)
    notify.notify()
    notify.notify()
    assert manager.lines().count("WATCHDOG=1") == 1


def test_stopping_is_sent_once_when_draining_begins(manager):
    stage = Stage(snapshot(*gateway_checks(), draining=True))
    notify = ServiceNotifier(manager.address, 0, stage.verdict)
    notify.start()
    assert until(lambda: "STOPPING=1" in manager.lines())
    notify.stop()
    assert "STOPPING=1" not in manager.lines()


def test_an_abstract_socket_is_supported():
    with listening(f"@gcr-test-{secrets.token_hex(8)}") as manager:
        ServiceNotifier(manager.address, 0, Stage().verdict).notify()
        assert "READY=1" in manager.lines()


def test_notifications_that_failed_are_sent_once_systemd_listens(tmp_path):
    notify = ServiceNotifier(str(tmp_path / "notify"), 0, Stage().verdict)
    notify.notify()
    with listening(str(tmp_path / "notify")) as manager:
        notify.notify()
        assert manager.lines() == ["READY=1", "STATUS=healthy"]


def test_a_frozen_monitor_stops_the_watchdog(manager):
    monitor = monitor_of(FixedProbe(name="web"))
    ahead = [0.0]
    monitor.start()
    notify = ServiceNotifier(
        manager.address,
        0.03,
        lambda: judge(monitor.snapshot(), monitor.snapshot().ticked_at + ahead[0]),
    )
    notify.start()
    assert until(lambda: "WATCHDOG=1" in manager.lines())
    monitor.stop()
    ahead[0] = 5.1  # as if that much time had gone by since its last tick
    assert until(lambda: "STATUS=error, health_engine.stale" in str(manager.lines()))
    manager.lines()
    assert not until(lambda: "WATCHDOG=1" in manager.lines(), 0.2)
    notify.stop()

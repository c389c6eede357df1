from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from gpt_cursor_runner.alerts.service_notify import ServiceNotify
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Snapshot, Status
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.monitor.sampler import Sampler
from tests.health.builders import NOW, FixedProbe, check, gateway_checks, make_spec, snapshot, until


@dataclass
class Manager:
    """A real datagram socket where systemd would have its own."""

    address: str
    heard: socket.socket

    def lines(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self.heard.recv(4096).decode())
            except BlockingIOError:
                return said


@pytest.fixture
def manager(tmp_path) -> Iterator[Manager]:
    with listening(str(tmp_path / "notify")) as made:
        yield made


@contextmanager
def listening(address: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address.replace("@", "\0", 1))
        heard.setblocking(False)
        yield Manager(address, heard)


@dataclass
class Stage:
    """What the verdict is drawn from, to be changed between two turns."""

    seen: Snapshot = field(default_factory=lambda: snapshot(*gateway_checks()))
    now: float = NOW

    def verdict(self) -> Verdict:
        return judge(self.seen, self.now)


def test_started_is_said_once_and_how_it_goes_when_that_changes(manager):
    stage = Stage()
    notify = ServiceNotify(manager.address, 0, stage.verdict)
    notify.turn()
    notify.turn()
    assert manager.lines() == ["READY=1", "STATUS=healthy"]
    stage.seen = snapshot(*gateway_checks(queue=check("queue", Status.FAIL, code="locked")))
    notify.turn()
    assert manager.lines() == ["STATUS=unknown, queue.locked"]


def test_nothing_is_started_and_nothing_alive_before_the_gateway_answered_itself(manager):
    stage = Stage(snapshot(*gateway_checks(web=check("web", None))))
    ServiceNotify(manager.address, 0.001, stage.verdict).turn()
    assert [one for one in manager.lines() if not one.startswith("STATUS")] == []


def test_alive_is_said_of_real_progress_only(manager):
    patient = check("web", spec=make_spec("web", interval_seconds=60.0))
    stage = Stage(snapshot(*gateway_checks(web=patient)))
    notify = ServiceNotify(manager.address, 1e-6, stage.verdict)
    notify.turn()
    assert "WATCHDOG=1" in manager.lines()
    stage.now = NOW + 6  # no tick for six seconds
    notify.turn()
    assert "WATCHDOG=1" not in manager.lines()
    stage.now, stage.seen = NOW, snapshot(*gateway_checks(web=check("web", Status.FAIL)))
    notify.turn()
    assert "WATCHDOG=1" not in manager.lines()


def test_alive_is_said_three_times_within_its_time(manager):
    notify = ServiceNotify(manager.address, 3600, Stage().verdict)
    notify.turn()
    notify.turn()
    assert manager.lines().count("WATCHDOG=1") == 1


def test_the_end_is_said_once_when_draining_begins(manager):
    stage = Stage(snapshot(*gateway_checks(), draining=True))
    notify = ServiceNotify(manager.address, 0, stage.verdict)
    notify.start()
    assert until(lambda: "STOPPING=1" in manager.lines())
    notify.stop()
    assert "STOPPING=1" not in manager.lines()


def test_an_abstract_socket_is_heard_too():
    with listening(f"@gcr-test-{secrets.token_hex(8)}") as manager:
        ServiceNotify(manager.address, 0, Stage().verdict).turn()
        assert "READY=1" in manager.lines()


def test_what_could_not_be_said_is_said_when_somebody_listens(tmp_path):
    notify = ServiceNotify(str(tmp_path / "notify"), 0, Stage().verdict)
    notify.turn()
    with listening(str(tmp_path / "notify")) as manager:
        notify.turn()
        assert manager.lines() == ["READY=1", "STATUS=healthy"]


def test_a_monitor_that_freezes_ends_the_signs_of_life(manager):
    monitor = Monitor([FixedProbe(name="web")], Sampler())
    ahead = [0.0]
    monitor.start()
    notify = ServiceNotify(
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

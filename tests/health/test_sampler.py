from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace

import psutil

from gpt_cursor_runner.health.model import Metrics
from gpt_cursor_runner.health.sampler import Sampler
from tests.health.builders import Clock


def denied() -> None:
    raise psutil.AccessDenied


class Times(SimpleNamespace):
    def _asdict(self) -> dict[str, float]:
        return dict(vars(self))


class Machine:
    """A machine whose processor figures are scripted."""

    def __init__(self, *times: Times) -> None:
        self._times = iter(times)

    def cpu_times(self) -> Times:
        return next(self._times)

    cpu_count = virtual_memory = net_io_counters = staticmethod(denied)


def test_processor_percent_is_unknown_until_two_samples_exist():
    sampler = Sampler()
    sampler.sample()
    assert sampler.latest.cpu["percent"] is None
    time.sleep(0.05)
    sampler.sample()
    assert isinstance(sampler.latest.cpu["percent"], float)


def test_load_is_seen_from_any_thread():
    sampler = Sampler()
    sampler.sample()
    give_up_at = time.process_time() + 0.3
    while time.process_time() < give_up_at:
        pass
    other = threading.Thread(target=sampler.sample)
    other.start()
    other.join()
    assert sampler.latest.cpu["percent"] >= 100 * 0.5 / (os.cpu_count() or 1)


def test_processor_percent_is_the_share_of_time_that_was_not_idle():
    machine = Machine(
        Times(user=100.0, system=50.0, idle=800.0, iowait=50.0, guest=40.0),
        Times(user=120.0, system=55.0, idle=870.0, iowait=55.0, guest=60.0),
    )
    sampler = Sampler(machine)
    sampler.sample()
    sampler.sample()
    assert sampler.latest.cpu["percent"] == 25.0  # 75 of 100 seconds idle: the guest is in user time already


def test_what_cannot_be_read_is_none_and_its_key_is_there():
    clock = Clock()
    sampler = Sampler(Machine(), monotonic=clock)
    clock.now += 7
    sampler.sample()
    assert sampler.latest.sampled_at == clock.now
    expected = Metrics.unread(clock.now)
    assert (sampler.latest.memory, sampler.latest.network) == (expected.memory, expected.network)
    cpu = sampler.latest.cpu
    assert (cpu["count"], cpu["percent"]) == (None, None) and len(cpu["load_average"]) == 3


def test_a_real_machine_has_every_figure():
    sampler = Sampler()
    sampler.sample()
    latest = sampler.latest
    assert latest.cpu["count"] == psutil.cpu_count()
    assert latest.memory["total"] == psutil.virtual_memory().total
    assert all(isinstance(value, int) for value in latest.network.values())

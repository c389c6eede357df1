from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from gpt_cursor_runner.health.monitor.cgroup import Cgroup
from gpt_cursor_runner.health.monitor.model import COUNTERS, Metrics
from gpt_cursor_runner.health.monitor.sampler import Sampler
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


def test_load_is_measured_from_any_thread():
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
    assert (
        sampler.latest.cpu["percent"] == 25.0
    )  # 75 of 100 seconds idle: the guest is in user time already


def test_a_figure_that_cannot_be_read_is_none_and_its_key_is_present(tmp_path):
    clock = Clock()
    (tmp_path / "membership").write_text("0::/\n")
    sampler = Sampler(Machine(), monotonic=clock, cgroup=Cgroup(tmp_path, tmp_path / "membership"))
    clock.now += 7
    sampler.sample()
    assert sampler.latest.sampled_at == clock.now
    expected = Metrics.unread(clock.now)
    assert (sampler.latest.memory, sampler.latest.network) == (expected.memory, expected.network)
    cpu = sampler.latest.cpu
    assert (cpu["count"], cpu["percent"]) == (None, None) and len(cpu["load_average"]) == 3
    unreadable = sampler.latest.unreadable
    assert unreadable["memory.percent"] == unreadable["network.bytes_sent"] == "access_denied"
    assert unreadable["cpu.percent"] == "failed"  # this machine's script is empty
    assert "memory.cgroup_limit" not in unreadable  # no limit is set


class Network:
    def __init__(self, *sent: int) -> None:
        self._sent = iter(sent)

    cpu_times = cpu_count = virtual_memory = staticmethod(denied)

    def net_io_counters(self) -> SimpleNamespace:
        return SimpleNamespace(**dict.fromkeys(COUNTERS, 7) | {"bytes_sent": next(self._sent)})


def test_a_rate_is_known_from_the_second_sample_and_not_of_a_counter_that_went_back():
    clock, rates = Clock(), []
    sampler = Sampler(Network(1000, 3000, 500, 600), monotonic=clock)
    for _ in range(4):
        sampler.sample()
        rates.append(
            (
                sampler.latest.network["bytes_sent_per_second"],
                sampler.latest.network["packets_recv_per_second"],
            )
        )
        clock.now += 2
    assert rates == [(None, None), (1000.0, 0.0), (None, 0.0), (50.0, 0.0)]


def version_2(place: Path) -> Cgroup:
    """Our group may take half a gigabyte; the one it lies in two cores."""
    own = place / "slice" / "gateway.service"
    own.mkdir(parents=True)
    files = {
        "membership": "0::/slice/gateway.service\n",
        "cgroup.controllers": "cpu memory\n",
        "slice/memory.max": "max\n",
        "slice/cpu.max": "200000 100000\n",
        "slice/cpu.stat": "usage_usec 5000000\nuser_usec 1\n",
        "slice/gateway.service/memory.max": "500000000\n",
        "slice/gateway.service/memory.current": "300000000\n",
        "slice/gateway.service/memory.stat": "anon 1\ninactive_file 50000000\n",
        "slice/gateway.service/cpu.max": "max 100000\n",
    }
    for name, text in files.items():
        (place / name).write_text(text)
    return Cgroup(place, place / "membership")


def version_1(place: Path) -> Cgroup:
    """A container's view: the host's path is not there, the mount itself is our
    group.
    """
    files = {
        "membership": "4:memory:/docker/1234\n3:cpu,cpuacct:/docker/1234\n",
        "memory/memory.limit_in_bytes": "500000000\n",
        "memory/memory.usage_in_bytes": "300000000\n",
        "memory/memory.stat": "total_inactive_file 50000000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/cpuacct.usage": "5000000000\n",
    }
    for name, text in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    return Cgroup(place, place / "membership")


@pytest.mark.parametrize("make", [version_2, version_1])
def test_the_limits_of_a_container_stand_beside_the_machines_figures(make, tmp_path):
    clock = Clock()
    sampler = Sampler(monotonic=clock, cgroup=make(tmp_path))
    sampler.sample()
    memory, cpu = sampler.latest.memory, sampler.latest.cpu
    assert (memory["cgroup_limit"], memory["cgroup_used"], memory["cgroup_percent"]) == (
        500_000_000,
        250_000_000,
        50.0,
    )
    assert (cpu["cgroup_limit"], cpu["cgroup_percent"]) == (2.0, None)
    assert sampler.latest.unreadable["cpu.cgroup_percent"] == "two_samples_needed"
    clock.now += 2
    for file in tmp_path.rglob("*"):
        if file.name == "cpu.stat":
            file.write_text("usage_usec 6000000\n")
        elif file.name == "cpuacct.usage":
            file.write_text("6000000000\n")
    sampler.sample()
    assert sampler.latest.cpu["cgroup_percent"] == 25.0  # one second of four


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_a_group_without_a_limit_has_none(tmp_path, limit):
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "memory.max").write_text(limit)
    cgroup = Cgroup(tmp_path, tmp_path / "membership")
    assert (cgroup.memory(), cgroup.cpu()) == (None, None)


def test_a_real_machine_has_every_figure():
    sampler = Sampler()
    sampler.sample()
    latest = sampler.latest
    assert latest.cpu["count"] == psutil.cpu_count()
    assert latest.memory["total"] == psutil.virtual_memory().total
    assert all(isinstance(latest.network[name], int) for name in COUNTERS)
    missing = {f"network.{name}_per_second" for name in COUNTERS} | {"cpu.percent"}
    assert {
        name for name, why in latest.unreadable.items() if why == "two_samples_needed"
    } >= missing

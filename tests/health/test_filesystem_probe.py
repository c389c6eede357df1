from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.probes.disk_worker import check_directory
from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe
from tests.health.builders import monitor_of, until


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[FilesystemProbe]:
    filesystem = FilesystemProbe(tmp_path)
    yield filesystem
    filesystem.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 KiB and 8 inodes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=8", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def workers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if "gpt_cursor_runner.health.probes.disk_worker" in child.cmdline()
    ]


def test_a_writable_directory_is_shown_with_its_space(probe, tmp_path):
    reading = probe.read()
    status = os.statvfs(tmp_path)
    assert (reading.status, reading.code, reading.fact) == (CheckStatus.OK, "writable", True)
    assert reading.data["total_bytes"] == status.f_blocks * status.f_frsize
    assert 0 < reading.data["free_bytes"] < reading.data["total_bytes"]


def test_one_worker_serves_every_run(probe):
    probe.read()
    (worker,) = workers()
    probe.read()
    assert workers() == [worker]


def test_a_missing_directory_is_missing_until_it_exists(tmp_path):
    probe = FilesystemProbe(tmp_path / "patches")
    reading = probe.read()
    assert (reading.status, reading.code) == (CheckStatus.FAIL, "missing")
    (tmp_path / "patches").mkdir()
    assert probe.read().status is CheckStatus.OK
    probe.close()


def test_a_file_in_its_place_is_not_a_directory(tmp_path):
    (tmp_path / "patches").write_text("content")
    assert check_directory(str(tmp_path / "patches"))["code"] == "not_a_directory"
    assert (tmp_path / "patches").read_text() == "content"


def test_a_read_only_disk_is_read_only_even_for_root(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert check_directory(str(small_disk))["code"] == "read_only"


def test_a_full_disk_has_no_space(small_disk):
    with (
        pytest.raises(OSError, match="No space"),
        (small_disk / "big").open("wb", buffering=0) as file,
    ):
        while True:
            file.write(bytes(4096))
    assert check_directory(str(small_disk))["code"] == "no_space"
    (small_disk / "big").unlink()
    assert check_directory(str(small_disk))["code"] == "writable"


def test_a_disk_without_inodes_has_no_space(small_disk):
    with pytest.raises(OSError, match="No space"):
        for number in range(20):
            (small_disk / str(number)).touch()
    assert check_directory(str(small_disk))["code"] == "no_space"


def test_a_forbidden_directory_is_denied(tmp_path):
    tmp_path.chmod(0o555)
    asking = (
        "import os, sys\n"
        "from gpt_cursor_runner.health.probes.disk_worker import check_directory\n"
        "os.getuid() or os.setuid(65534)\n"  # root may write anywhere
        "print(check_directory(sys.argv[1])['code'])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", asking, tmp_path], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "denied\n"


def test_the_check_leaves_no_file_and_changes_none(tmp_path):
    (tmp_path / ".health_check").write_text("the owner's")
    for _ in range(300):
        assert check_directory(str(tmp_path))["code"] == "writable"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        (".health_check", "the owner's")
    ]


def test_a_system_without_unnamed_files_works_and_is_left_clean(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    assert check_directory(str(tmp_path))["code"] == "writable"
    assert list(tmp_path.iterdir()) == []
    assert check_directory(str(tmp_path / "nowhere"))["code"] == "missing"


def test_a_worker_killed_at_any_moment_leaves_no_file(tmp_path):
    looping = (
        "from gpt_cursor_runner.health.probes.disk_worker import check_directory\nwhile True:"
        f" check_directory({str(tmp_path)!r})"
    )
    for number in range(10):
        worker = subprocess.Popen([sys.executable, "-c", looping])
        time.sleep(0.08 + number * 0.003)
        worker.kill()
        worker.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_died_is_replaced_at_the_next_run(probe):
    probe.read()
    (worker,) = workers()
    worker.kill()
    assert until(lambda: worker.status() == psutil.STATUS_ZOMBIE)
    died = probe.read()
    assert (died.status, died.code, died.fact) == (CheckStatus.UNKNOWN, "helper_died", False)
    assert workers() == []
    assert probe.read().status is CheckStatus.OK


def test_the_check_waits_for_a_stuck_worker_and_starts_no_second(probe):
    probe.read()
    (worker,) = workers()
    worker.suspend()
    readings: list[Reading] = []
    waiting = threading.Thread(target=lambda: readings.append(probe.read()))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive() and workers() == [worker]
    worker.resume()
    waiting.join(60)
    assert [reading.status for reading in readings] == [CheckStatus.OK]


def test_a_stuck_worker_is_late_and_recovers(probe, monkeypatch):
    monkeypatch.setattr(
        probe, "spec", replace(probe.spec, interval_seconds=0.05, deadline_seconds=0.4)
    )
    monitor = monitor_of(probe)
    monitor.start()
    try:
        assert until(lambda: reasons(monitor) == ())
        (worker,) = workers()
        worker.suspend()
        assert until(lambda: reasons(monitor) == ("filesystem.late",))
        assert workers() == [worker]
        worker.resume()
        assert until(lambda: reasons(monitor) == ())
    finally:
        monitor.stop()


def reasons(monitor: Monitor) -> tuple[str, ...]:
    return judge(monitor.snapshot(), time.monotonic()).reasons


def test_close_ends_a_run_that_waits_and_starts_no_worker_again(probe):
    probe.read()
    (worker,) = workers()
    worker.suspend()
    waiting = threading.Thread(target=probe.read)
    waiting.start()
    probe.close()
    waiting.join(60)
    assert not waiting.is_alive() and workers() == []
    assert probe.read().code == "helper_died" and workers() == []


def test_the_worker_inherits_no_socket(probe):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        probe.read()
    (worker,) = workers()
    open_files = [file.readlink().name for file in Path(f"/proc/{worker.pid}/fd").iterdir()]
    assert not [name for name in open_files if name.startswith("socket:")]
    assert len(open_files) == 3


def test_the_worker_ends_with_its_gateway(tmp_path):
    gateway = (
        "import sys, pathlib, time\n"
        "from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe\n"
        "probe = FilesystemProbe(pathlib.Path(sys.argv[1]))\n"
        "probe.read()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", gateway, tmp_path], stdout=subprocess.PIPE)
    assert parent.stdout and parent.stdout.readline() == b"ready\n"
    (worker,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.communicate()
    assert until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)

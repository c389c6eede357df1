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
from gpt_cursor_runner.health.monitor.model import Reading, Status
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.probes.disk_worker import check_directory
from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe
from tests.health.builders import monitor_of, until


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[FilesystemProbe]:
    one = FilesystemProbe(tmp_path)
    yield one
    one.close()


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


def helpers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if "gpt_cursor_runner.health.probes.disk_worker" in child.cmdline()
    ]


def test_a_writable_directory_is_proven_with_the_room_it_has(probe, tmp_path):
    found = probe.read()
    seen = os.statvfs(tmp_path)
    assert (found.status, found.code, found.fact) == (Status.OK, "writable", True)
    assert found.data["total_bytes"] == seen.f_blocks * seen.f_frsize
    assert 0 < found.data["free_bytes"] < found.data["total_bytes"]


def test_one_helper_serves_every_look(probe):
    probe.read()
    (helper,) = helpers()
    probe.read()
    assert helpers() == [helper]


def test_a_missing_directory_is_missing_until_it_is_there(tmp_path):
    probe = FilesystemProbe(tmp_path / "patches")
    found = probe.read()
    assert (found.status, found.code) == (Status.FAIL, "missing")
    (tmp_path / "patches").mkdir()
    assert probe.read().status is Status.OK
    probe.close()


def test_a_file_in_its_place_is_not_a_directory(tmp_path):
    (tmp_path / "patches").write_text("mine")
    assert check_directory(str(tmp_path / "patches"))["code"] == "not_a_directory"
    assert (tmp_path / "patches").read_text() == "mine"


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


def test_looking_leaves_nothing_and_touches_nothing(tmp_path):
    (tmp_path / ".health_check").write_text("the owner's")
    for _ in range(300):
        assert check_directory(str(tmp_path))["code"] == "writable"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        (".health_check", "the owner's")
    ]


def test_a_system_without_unnamed_files_is_served_and_left_clean(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    assert check_directory(str(tmp_path))["code"] == "writable"
    assert list(tmp_path.iterdir()) == []
    assert check_directory(str(tmp_path / "nowhere"))["code"] == "missing"


def test_a_helper_killed_at_any_moment_leaves_nothing(tmp_path):
    looping = (
        "from gpt_cursor_runner.health.probes.disk_worker import check_directory\nwhile True:"
        f" check_directory({str(tmp_path)!r})"
    )
    for number in range(10):
        helper = subprocess.Popen([sys.executable, "-c", looping])
        time.sleep(0.08 + number * 0.003)
        helper.kill()
        helper.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_helper_that_died_is_replaced_at_the_next_look(probe):
    probe.read()
    (helper,) = helpers()
    helper.kill()
    assert until(lambda: helper.status() == psutil.STATUS_ZOMBIE)
    died = probe.read()
    assert (died.status, died.code, died.fact) == (Status.UNKNOWN, "helper_died", False)
    assert helpers() == []
    assert probe.read().status is Status.OK


def test_a_stuck_helper_is_waited_for_and_no_second_one_is_started(probe):
    probe.read()
    (helper,) = helpers()
    helper.suspend()
    found: list[Reading] = []
    waiting = threading.Thread(target=lambda: found.append(probe.read()))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive() and helpers() == [helper]
    helper.resume()
    waiting.join(5)
    assert [one.status for one in found] == [Status.OK]


def test_a_stuck_helper_is_shown_as_late_and_comes_back_alone(probe, monkeypatch):
    monkeypatch.setattr(
        probe, "spec", replace(probe.spec, interval_seconds=0.05, deadline_seconds=0.4)
    )
    monitor = monitor_of(probe)
    monitor.start()
    try:
        assert until(lambda: reasons(monitor) == ())
        (helper,) = helpers()
        helper.suspend()
        assert until(lambda: reasons(monitor) == ("filesystem.late",))
        assert helpers() == [helper]
        helper.resume()
        assert until(lambda: reasons(monitor) == ())
    finally:
        monitor.stop()


def reasons(monitor: Monitor) -> tuple[str, ...]:
    return judge(monitor.snapshot(), time.monotonic()).reasons


def test_closing_frees_a_look_that_waits_and_starts_no_helper_again(probe):
    probe.read()
    (helper,) = helpers()
    helper.suspend()
    waiting = threading.Thread(target=probe.read)
    waiting.start()
    probe.close()
    waiting.join(5)
    assert not waiting.is_alive() and helpers() == []
    assert probe.read().code == "helper_died" and helpers() == []


def test_the_helper_inherits_no_socket(probe):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        probe.read()
    (helper,) = helpers()
    open_files = [file.readlink().name for file in Path(f"/proc/{helper.pid}/fd").iterdir()]
    assert not [name for name in open_files if name.startswith("socket:")]
    assert len(open_files) == 3


def test_the_helper_ends_with_its_gateway(tmp_path):
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
    (helper,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.communicate()
    assert until(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE)

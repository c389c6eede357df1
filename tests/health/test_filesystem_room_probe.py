"""The filesystem check on a disk that fills, and on a disk that was replaced."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.health.probes.filesystem import FilesystemProbe
from gpt_cursor_runner.health.probes.threshold import Threshold


def mount(place: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user may not mount a tmpfs")


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", place], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MiB and 100 inodes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount(place, "size=4m,nr_inodes=100")
    yield place
    unmount(place)


def test_a_limit_has_two_ends():
    full, scarce = Threshold(on=90, off=87), Threshold(on=5, off=8)
    assert [
        full.passed(figure, before) for figure, before in ((89.9, False), (90, False), (87.1, True))
    ] == [0, 1, 1]
    assert not full.passed(87, True)
    assert [
        scarce.passed(figure, before) for figure, before in ((5, False), (4.9, False), (7.9, True))
    ] == [0, 1, 1]
    assert not scarce.passed(8, True)
    assert not full.passed(None, True)


def test_a_disk_is_nearly_full_from_ninety_percent_until_eighty_seven(disk):
    probe, filling = FilesystemProbe(disk), disk / "filling"
    codes = []
    for percent in (80, 91, 88, 86, 89):
        with filling.open("wb") as file:
            file.write(bytes(4 * 1024 * 1024 * percent // 100))
        reading = probe.read()
        codes.append((reading.status, reading.code))
    probe.close()
    well, warned = (CheckStatus.OK, "writable"), (CheckStatus.WARN, "nearly_full")
    assert codes == [well, warned, warned, well, well]


def test_few_inodes_are_a_warning_before_there_are_none(disk):
    probe = FilesystemProbe(disk)
    assert probe.read().code == "writable"
    for number in range(95):
        (disk / str(number)).touch()
    reading = probe.read()
    assert (reading.status, reading.code, bool(reading.remedy)) == (
        CheckStatus.WARN,
        "few_inodes",
        True,
    )
    (disk / "0").unlink()
    (disk / "1").unlink()
    assert probe.read().code == "few_inodes"
    for number in range(2, 20):
        (disk / str(number)).unlink()
    assert probe.read().code == "writable"
    probe.close()


def test_a_disk_that_was_unmounted_is_detected_though_its_mount_point_is_writable(disk):
    probe = FilesystemProbe(disk)
    try:
        assert probe.read().status is CheckStatus.OK
        unmount(disk)
        reading = probe.read()
        assert (reading.status, reading.code, reading.fact) == (CheckStatus.FAIL, "unmounted", True)
        assert "another disk" in reading.message and reading.remedy
        # A gateway that starts now has seen no other disk.
        again = FilesystemProbe(disk)
        assert again.read().status is CheckStatus.OK
        again.close()
    finally:
        probe.close()
        mount(disk, "size=1m")  # for the fixture to unmount


def test_a_disk_that_is_mounted_again_is_ok(disk, tmp_path):
    probe, over = FilesystemProbe(disk), tmp_path / "disk"
    assert probe.read().status is CheckStatus.OK
    mount(over, "size=1m")
    assert probe.read().code == "unmounted"
    unmount(over)
    assert probe.read().status is CheckStatus.OK
    probe.close()


def test_a_directory_that_was_replaced_is_detected(tmp_path):
    place = tmp_path / "patches"
    place.mkdir()
    probe = FilesystemProbe(place)
    assert probe.read().status is CheckStatus.OK
    place.rename(tmp_path / "aside")
    assert probe.read().code == "missing"
    place.mkdir()
    assert probe.read().code == "unmounted"
    place.rmdir()
    (tmp_path / "aside").rename(place)
    assert probe.read().status is CheckStatus.OK
    probe.close()


def test_a_hundred_killed_processes_leave_no_file(tmp_path):
    loop = (
        "import os, sys\n"
        "from gpt_cursor_runner.health.probes.disk_worker import check_directory\n"
        "for _ in range(100):\n"
        "    child = os.fork()\n"
        "    while child == 0: check_directory(sys.argv[1])\n"
        "    print(child, flush=True)\n"
        "    os.waitpid(child, 0)\n"
    )
    pauses = random.Random(7)
    with subprocess.Popen(
        [sys.executable, "-c", loop, tmp_path], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        for line in parent.stdout:
            time.sleep(pauses.uniform(0.0, 0.01))
            subprocess.run(["kill", "-9", line.strip()], check=True)
    assert parent.returncode == 0
    assert list(tmp_path.iterdir()) == []

"""A real gateway with faulty disks and ledgers: read-only, full, gone, frozen,
locked, corrupt.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.polling import polled
from tests.running import Installation, is_alive, wait_until

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0
    or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0,
    reason="mounting needs root",
)


def reports(here: Installation, *reasons: str) -> bool:
    try:
        return set(reasons) <= set(here.health()["reasons"])
    except OSError:
        return False


def fresh(here: Installation) -> dict[str, Any]:
    """The answer with fresh readings; an empty one while the gateway restarts."""
    try:
        body: dict[str, Any] = here.call("GET", "/health?fresh=1").body
    except OSError:
        return {"overall_status": "", "reasons": []}
    return body


def expect_well(here: Installation, seconds: float = 20) -> None:
    wait_until(lambda: fresh(here)["overall_status"] == "healthy", seconds, "it did not heal")


def expect(here: Installation, reason: str, seconds: float = 15) -> None:
    """Wait for a reason in fresh readings; `make bench-health` measures how long
    it takes without them.
    """
    wait_until(lambda: reason in fresh(here)["reasons"], seconds, f"{reason} was never reported")
    body = here.health()
    assert body["overall_status"] == "unknown"
    assert here.call("GET", "/readyz", key=None).status == 503


@contextmanager
def started(place: Path, *names: str) -> Iterator[Installation]:
    here = Installation.create(place)
    try:
        (place / "state" / "patches").mkdir(exist_ok=True)
        here.start(*names)
        yield here
    finally:
        here.stop()


@contextmanager
def mounted(where: Path, *options: str) -> Iterator[None]:
    subprocess.run(["mount", *options, str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)


def test_a_file_in_the_place_of_the_directory_and_no_directory_at_all(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as here:
        here.wait_for_health("healthy")
        patches, aside = tmp_path / "state" / "patches", tmp_path / "aside"
        patches.rename(aside)
        expect(here, "filesystem.missing")
        patches.write_text("not a directory")
        expect(here, "filesystem.not_a_directory")
        assert here.health()["components"]["fs_writable"] is False
        patches.unlink()
        aside.rename(patches)
        expect_well(here)


@needs_mounts
def test_a_full_and_a_read_only_disk_are_seen_also_by_root(tmp_path: Path):
    patches = tmp_path / "state" / "patches"
    patches.mkdir(parents=True)
    with (
        mounted(patches, "-t", "tmpfs", "-o", "size=64k", "tmpfs"),
        started(tmp_path, "gateway", "runner") as here,
    ):
        here.wait_for_health("healthy")
        filling = patches / "filling"
        with filling.open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(b"x" * 4096)
        expect(here, "filesystem.no_space")
        filling.unlink()
        expect_well(here)
        subprocess.run(["mount", "-o", "remount,ro", str(patches)], check=True)
        expect(here, "filesystem.read_only")
        subprocess.run(["mount", "-o", "remount,rw", str(patches)], check=True)
        expect_well(here)
        assert [path for path in patches.rglob("*") if path.is_file()] == []


@needs_mounts
def test_a_volume_that_is_unmounted_is_missed_though_its_place_can_be_written(tmp_path: Path):
    patches = tmp_path / "state" / "patches"
    patches.mkdir(parents=True)
    with started(tmp_path) as here, mounted(patches, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        here.start("gateway", "runner")
        here.wait_for_health("healthy")
        subprocess.run(["umount", str(patches)], check=True)
        expect(here, "filesystem.unmounted")


@needs_mounts
def test_a_frozen_disk_costs_no_answer_and_no_port_and_heals_when_it_thaws(tmp_path: Path):
    image, patches = tmp_path / "image", tmp_path / "state" / "patches"
    patches.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    if subprocess.run(["mkfs.ext4", "-q", str(image)], capture_output=True).returncode != 0:
        pytest.skip("no mkfs.ext4 here")
    if (
        subprocess.run(
            ["mount", "-o", "loop", str(image), str(patches)], capture_output=True
        ).returncode
        != 0
    ):
        pytest.skip("no loop devices here")
    thaw = subprocess.Popen(["sleep", "3600"])
    try:
        with started(tmp_path, "gateway", "runner") as here:
            here.wait_for_health("healthy")
            subprocess.run(["fsfreeze", "-f", str(patches)], check=True)
            # Also when this test is killed: a disk that stays frozen blocks
            # every process that syncs.
            thaw = subprocess.Popen(["sh", "-c", 'sleep 25; fsfreeze -u "$0"', str(patches)])
            expect(here, "filesystem.late")
            with polled(here.port, 20, pause_seconds=0.1) as pollers:
                pollers.wait_for(200)
            assert not pollers.troubles and pollers.codes == {503}
            (hanging,) = _hanging(here)
            assert len(_workers(here)) == 2  # the other one looks at the repositories
            here.kill("gateway")
            here.start("gateway")  # on the same port, though the worker still hangs in the kernel
            wait_until(here.answers, 20, "the port was never free again")
            expect(here, "filesystem.late")
            subprocess.run(["fsfreeze", "-u", str(patches)], check=True)
            expect_well(here)
            wait_until(lambda: not is_alive(hanging), 10, "a disk worker was left behind")
    finally:
        subprocess.run(["fsfreeze", "-u", str(patches)], capture_output=True)
        thaw.kill()
        thaw.wait()
        subprocess.run(["umount", "-l", str(patches)], capture_output=True)


def _workers(here: Installation) -> list[psutil.Process]:
    """The disk workers of this gateway."""
    children = psutil.Process(here.processes["gateway"].pid).children(recursive=True)
    return [
        child
        for child in children
        if is_alive(child.pid) and "gpt_cursor_runner.health.probes.disk_worker" in child.cmdline()
    ]


def _hanging(here: Installation) -> list[int]:
    workers = _workers(here)
    return [worker.pid for worker in workers if worker.status() == psutil.STATUS_DISK_SLEEP]


def test_a_locked_ledger_is_reported_and_health_answers(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as here:
        here.wait_for_health("healthy")
        lock = sqlite3.connect(tmp_path / "state" / "ledger.sqlite3", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        try:
            with polled(here.port, 10, pause_seconds=0.1) as pollers:
                expect(here, "queue.locked")
                pollers.wait_for(100)
            assert not pollers.troubles
            # The key is valid without the ledger.
            assert "checks" in here.call("GET", "/health", seconds=30).body
            assert here.call("GET", "/health/history", seconds=30).status in (200, 503)
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        expect_well(here)


def test_a_corrupt_ledger_is_reported_and_health_answers(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as here:
        here.wait_for_health("healthy")
        ledger = tmp_path / "state" / "ledger.sqlite3"
        here.kill("runner")
        connection = sqlite3.connect(ledger)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        with ledger.open("r+b") as file:
            file.seek(0)
            file.write(b"this is no database at all" * 400)
        wait_until(
            lambda: any(reason.startswith("queue.") for reason in here.health()["reasons"]),
            20,
            "the corrupt ledger is not reported",
        )
        assert here.health()["overall_status"] == "unknown"
        assert here.call("GET", "/livez", key=None).status == 200


def test_a_dead_runner_does_not_hide_a_dead_disk(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as here:
        here.wait_for_health("healthy")
        here.kill("runner")
        (tmp_path / "state" / "patches").rename(tmp_path / "aside")
        wait_until(
            lambda: reports(here, "runner.down", "filesystem.missing"),
            15,
            "both troubles are not listed",
        )
        body = here.health()
        assert (body["overall_status"], body["reasons"][0]) == ("unknown", "filesystem.missing")


def test_a_disk_worker_that_is_killed_again_and_again_leaves_no_file(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as here:
        here.wait_for_health("healthy")
        patches = tmp_path / "state" / "patches"
        (patches / ".gcr-probe-of-the-user").write_text("mine")
        for _ in range(3):
            for worker in _workers(here):
                worker.kill()
                expect_well(here)
        expect_well(here)
        assert [path.name for path in patches.iterdir()] == [".gcr-probe-of-the-user"]

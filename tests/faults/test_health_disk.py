"""A real gateway with faulty disks and ledgers: read-only, full, missing,
frozen, locked, corrupt.
"""

from __future__ import annotations

import os
import shutil
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

# A user's search path may lack the directories of these programs.
ADMINISTRATOR = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def reports(installation: Installation, *reasons: str) -> bool:
    try:
        return set(reasons) <= set(installation.health()["reasons"])
    except OSError:
        return False


def fresh(installation: Installation) -> dict[str, Any]:
    """The answer with fresh readings; an empty one while the gateway restarts."""
    try:
        body: dict[str, Any] = installation.call("GET", "/health?fresh=1").body
    except OSError:
        return {"overall_status": "", "reasons": []}
    return body


def expect_healthy(installation: Installation) -> None:
    wait_until(lambda: fresh(installation)["overall_status"] == "healthy", "it did not heal")


def expect(installation: Installation, reason: str) -> None:
    """Wait for a reason in fresh readings; `make bench-health` measures how long
    it takes without them.
    """
    wait_until(lambda: reason in fresh(installation)["reasons"], f"{reason} was never reported")
    body = installation.health()
    assert body["overall_status"] == "unknown"
    assert installation.call("GET", "/readyz", key=None).status == 503


@contextmanager
def started(place: Path, *names: str) -> Iterator[Installation]:
    installation = Installation.create(place)
    try:
        (place / "state" / "patches").mkdir(exist_ok=True)
        installation.start(*names)
        yield installation
    finally:
        installation.stop()


@contextmanager
def mounted(where: Path, *options: str) -> Iterator[None]:
    subprocess.run(["mount", *options, str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)


def test_a_file_in_place_of_the_directory_and_a_missing_directory(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as installation:
        installation.wait_for_health("healthy")
        patches, aside = tmp_path / "state" / "patches", tmp_path / "aside"
        patches.rename(aside)
        expect(installation, "filesystem.missing")
        patches.write_text("not a directory")
        expect(installation, "filesystem.not_a_directory")
        assert installation.health()["components"]["fs_writable"] is False
        patches.unlink()
        aside.rename(patches)
        expect_healthy(installation)


@needs_mounts
def test_a_full_and_a_read_only_disk_are_detected_also_by_root(tmp_path: Path):
    patches = tmp_path / "state" / "patches"
    patches.mkdir(parents=True)
    with (
        mounted(patches, "-t", "tmpfs", "-o", "size=64k", "tmpfs"),
        started(tmp_path, "gateway", "runner") as installation,
    ):
        installation.wait_for_health("healthy")
        filler = patches / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(b"x" * 4096)
        expect(installation, "filesystem.no_space")
        filler.unlink()
        expect_healthy(installation)
        subprocess.run(["mount", "-o", "remount,ro", str(patches)], check=True)
        expect(installation, "filesystem.read_only")
        subprocess.run(["mount", "-o", "remount,rw", str(patches)], check=True)
        expect_healthy(installation)
        assert [path for path in patches.rglob("*") if path.is_file()] == []


@needs_mounts
def test_an_unmounted_volume_is_detected_despite_its_writable_mount_point(tmp_path: Path):
    patches = tmp_path / "state" / "patches"
    patches.mkdir(parents=True)
    with (
        started(tmp_path) as installation,
        mounted(patches, "-t", "tmpfs", "-o", "size=1m", "tmpfs"),
    ):
        installation.start("gateway", "runner")
        installation.wait_for_health("healthy")
        subprocess.run(["umount", str(patches)], check=True)
        expect(installation, "filesystem.unmounted")


@needs_mounts
def test_a_frozen_disk_blocks_no_answer_and_no_port(tmp_path: Path):
    image, patches = tmp_path / "image", tmp_path / "state" / "patches"
    patches.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    if shutil.which("mkfs.ext4", path=ADMINISTRATOR["PATH"]) is None:
        pytest.skip("no mkfs.ext4 here")
    subprocess.run(["mkfs.ext4", "-q", str(image)], env=ADMINISTRATOR, check=True)
    if (
        subprocess.run(
            ["mount", "-o", "loop", str(image), str(patches)], capture_output=True
        ).returncode
        != 0
    ):
        pytest.skip("no loop devices here")
    thaw = subprocess.Popen(["sleep", "3600"])
    try:
        with started(tmp_path, "gateway", "runner") as installation:
            installation.wait_for_health("healthy")
            subprocess.run(["fsfreeze", "-f", str(patches)], env=ADMINISTRATOR, check=True)
            # Also when this test is killed: a disk that stays frozen blocks
            # every process that syncs.
            command = ["sh", "-c", 'sleep 25; fsfreeze -u "$0"', str(patches)]
            thaw = subprocess.Popen(command, env=ADMINISTRATOR)
            expect(installation, "filesystem.late")
            with polled(installation.port, 20, pause_seconds=0.1) as pollers:
                pollers.wait_for(200)
            assert not pollers.troubles and pollers.codes == {503}
            (hanging,) = _hanging(installation)
            assert len(_workers(installation)) == 1
            installation.kill("gateway")
            installation.start(
                "gateway"
            )  # on the same port, though the worker still hangs in the kernel
            wait_until(installation.answers, "the port was never free again")
            expect(installation, "filesystem.late")
            subprocess.run(["fsfreeze", "-u", str(patches)], env=ADMINISTRATOR, check=True)
            expect_healthy(installation)
            wait_until(lambda: not is_alive(hanging), "a disk worker was left behind")
    finally:
        subprocess.run(["fsfreeze", "-u", str(patches)], env=ADMINISTRATOR, capture_output=True)
        thaw.kill()
        thaw.wait()
        subprocess.run(["umount", "-l", str(patches)], capture_output=True)


def _workers(installation: Installation) -> list[psutil.Process]:
    """The disk workers of this gateway."""
    children = psutil.Process(installation.processes["gateway"].pid).children(recursive=True)
    return [
        child
        for child in children
        if is_alive(child.pid) and "gpt_cursor_runner.health.probes.disk_worker" in child.cmdline()
    ]


def _hanging(installation: Installation) -> list[int]:
    workers = _workers(installation)
    return [worker.pid for worker in workers if worker.status() == psutil.STATUS_DISK_SLEEP]


def test_a_locked_ledger_is_reported_and_health_answers(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as installation:
        installation.wait_for_health("healthy")
        lock = sqlite3.connect(tmp_path / "state" / "ledger.sqlite3", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        try:
            with polled(installation.port, 10, pause_seconds=0.1) as pollers:
                expect(installation, "queue.locked")
                pollers.wait_for(100)
            assert not pollers.troubles
            # The key is valid without the ledger.
            assert "checks" in installation.call("GET", "/health", seconds=30).body
            assert installation.call("GET", "/health/history", seconds=30).status in (200, 503)
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        expect_healthy(installation)


def test_a_corrupt_ledger_is_reported_and_health_answers(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as installation:
        installation.wait_for_health("healthy")
        ledger = tmp_path / "state" / "ledger.sqlite3"
        installation.kill("runner")
        connection = sqlite3.connect(ledger)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        with ledger.open("r+b") as file:
            file.seek(0)
            file.write(b"this is no database at all" * 400)
        wait_until(
            lambda: any(reason.startswith("queue.") for reason in installation.health()["reasons"]),
            "the corrupt ledger is not reported",
        )
        assert installation.health()["overall_status"] == "unknown"
        assert installation.call("GET", "/livez", key=None).status == 200


def test_a_dead_runner_does_not_hide_a_dead_disk(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as installation:
        installation.wait_for_health("healthy")
        installation.kill("runner")
        (tmp_path / "state" / "patches").rename(tmp_path / "aside")
        wait_until(
            lambda: reports(installation, "runner.down", "filesystem.missing"),
            "both troubles are not listed",
        )
        body = installation.health()
        assert (body["overall_status"], body["reasons"][0]) == ("unknown", "filesystem.missing")


def test_a_disk_worker_killed_repeatedly_leaves_no_file(tmp_path: Path):
    with started(tmp_path, "gateway", "runner") as installation:
        installation.wait_for_health("healthy")
        patches = tmp_path / "state" / "patches"
        (patches / ".gcr-probe-of-the-user").write_text("mine")
        for _ in range(3):
            for worker in _workers(installation):
                worker.kill()
                expect_healthy(installation)
        expect_healthy(installation)
        assert [path.name for path in patches.iterdir()] == [".gcr-probe-of-the-user"]

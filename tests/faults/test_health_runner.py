"""Runners that die, stop, turn to zombies or are not runners at all, seen by a
real gateway.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.building import patch_body
from tests.running import Installation, installed, listens, wait_until


def runner_state(here: Installation) -> str:
    return str(here.health()["components"]["ghost_runner"])


def seconds_until(here: Installation, state: str, limit: float) -> float:
    began = time.monotonic()
    wait_until(lambda: runner_state(here) == state, limit, f"the runner is not said to be {state}")
    return time.monotonic() - began


def test_a_killed_runner_is_down_within_a_second_and_up_when_it_is_back(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        here.kill("runner")
        assert (
            seconds_until(here, "down", 10) < 2.5
        )  # promised: 1 s; `make bench-health` measures it
        assert here.health()["overall_status"] == "degraded"
        assert (
            here.call("GET", "/readyz", key=None).status == 200
        )  # patches are still taken and kept
        here.start("runner")
        here.wait_for_health("healthy")


def test_a_stopped_runner_is_stalled_and_works_on_when_it_is_continued(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        here.processes["runner"].send_signal(signal.SIGSTOP)
        try:
            assert seconds_until(here, "stalled", 12) < 12
            here.call("POST", "/webhook", patch_body(id="waiting"))
            assert here.health()["overall_status"] == "degraded"
        finally:
            here.processes["runner"].send_signal(signal.SIGCONT)
        here.wait_until_ended("waiting")
        here.wait_for_health("healthy")


def test_a_zombie_is_no_runner(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        process = here.processes.pop("runner")
        process.send_signal(signal.SIGKILL)  # and nobody waits for it yet
        seconds_until(here, "down", 10)
        process.wait()


@contextmanager
def watching_a_foreign_runner(place: Path) -> Iterator[tuple[Installation, str]]:
    """A gateway, and the script name it looks for, which no other test's
    process has.
    """
    here, name = Installation.create(place), f"ghost-runner-{secrets.token_hex(4)}.js"
    here.health_settings["external_runner"] = name
    here.configure()
    try:
        here.start("gateway", "runner")
        wait_until(
            lambda: listens(here.port) and "external_runner" in here.health()["components"],
            20,
            "not up",
        )
        yield here, name
    finally:
        here.stop()


@pytest.mark.parametrize(
    "decoy",
    [
        ["tail", "-f", "ghost-runner.js"],
        [sys.executable, "-c", "import time; time.sleep(60)", "ghost-runner.js"],
        [sys.executable, "editor.py", "ghost-runner.js"],
    ],
    ids=["tail", "inline", "editor"],
)
def test_what_only_has_the_file_open_is_not_the_foreign_runner(tmp_path: Path, decoy: list[str]):
    with watching_a_foreign_runner(tmp_path) as (here, name):
        (tmp_path / name).write_text("")
        (tmp_path / "editor.py").write_text("import time; time.sleep(60)")
        process = subprocess.Popen(
            [word.replace("ghost-runner.js", name) for word in decoy], cwd=tmp_path
        )
        try:
            time.sleep(3)
            assert here.health()["components"]["external_runner"] in ("starting", "down")
        finally:
            process.kill()
            process.wait()


def test_a_foreign_runner_is_found_missed_and_stalled(tmp_path: Path):
    with watching_a_foreign_runner(tmp_path) as (here, name):
        script = tmp_path / name
        script.write_text(
            "import time; time.sleep(60)"
        )  # what an interpreter runs is its own affair
        process = subprocess.Popen([sys.executable, "-u", str(script)])

        def state() -> str:
            return str(here.health()["components"]["external_runner"])

        try:
            wait_until(lambda: state() == "up", 15, "the foreign runner is not found")
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: state() == "stalled", 15, "a stopped foreign runner is not stalled")
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: state() == "up", 15, "the foreign runner is not up again")
        finally:
            process.kill()
            process.wait()
        wait_until(lambda: state() == "down", 15, "the foreign runner is not missed")


def test_an_idle_queue_and_an_idle_loop_stay_healthy(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        give_up_at = time.monotonic() + 4
        while time.monotonic() < give_up_at:
            assert here.health()["overall_status"] == "healthy"
            time.sleep(0.05)

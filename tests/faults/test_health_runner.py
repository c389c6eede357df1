"""A real gateway with runners that die, stop, become zombies or are no runners."""

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


def wait_for_state(here: Installation, state: str) -> None:
    """The time that it takes is measured by `make bench-health`."""
    wait_until(lambda: runner_state(here) == state, 20, f"the runner is never {state}")


def test_a_killed_runner_is_down_and_up_when_it_is_back(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        here.kill("runner")
        wait_for_state(here, "down")
        assert here.health()["overall_status"] == "degraded"
        # Patches are still accepted and stored.
        assert here.call("GET", "/readyz", key=None).status == 200
        here.start("runner")
        here.wait_for_health("healthy")


def test_a_stopped_runner_is_stalled_and_works_on_when_it_is_continued(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        here.processes["runner"].send_signal(signal.SIGSTOP)
        try:
            wait_for_state(here, "stalled")
            here.call("POST", "/webhook", patch_body(id="waiting"))
            assert here.health()["overall_status"] == "degraded"
        finally:
            here.processes["runner"].send_signal(signal.SIGCONT)
        here.wait_until_ended("waiting")
        here.wait_for_health("healthy")


def test_a_zombie_is_no_runner(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        process = here.processes.pop("runner")
        process.send_signal(signal.SIGKILL)
        wait_for_state(here, "down")
        process.wait()


@contextmanager
def watching_a_foreign_runner(place: Path) -> Iterator[tuple[Installation, str]]:
    """A gateway, and the script name it searches for, which no process of
    another test has.
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
        [sys.executable, "-c", "import time; time.sleep(600)", "ghost-runner.js"],
        [sys.executable, "editor.py", "ghost-runner.js"],
    ],
    ids=["tail", "inline", "editor"],
)
def test_a_program_that_has_the_file_open_is_no_foreign_runner(tmp_path: Path, decoy: list[str]):
    with watching_a_foreign_runner(tmp_path) as (here, name):
        (tmp_path / name).write_text("")
        (tmp_path / "editor.py").write_text("import time; time.sleep(600)")
        process = subprocess.Popen(
            [word.replace("ghost-runner.js", name) for word in decoy], cwd=tmp_path
        )
        try:
            time.sleep(3)  # one scan of the processes, at least
            assert here.health()["components"]["external_runner"] not in ("up", "stalled")
        finally:
            process.kill()
            process.wait()


def test_a_foreign_runner_is_found_missed_and_stalled(tmp_path: Path):
    with watching_a_foreign_runner(tmp_path) as (here, name):
        script = tmp_path / name
        # Only the file name counts; the interpreter may be any.
        script.write_text("import time; time.sleep(600)")
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


def test_an_idle_queue_and_an_idle_loop_are_no_problem(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as here:
        for _ in range(80):
            # Only codes about idleness: a machine under load may delay any run.
            idle_codes = {"runner.stalled", "runner.not_claiming", "queue.backlog"}
            assert not idle_codes & set(here.health()["reasons"])
            time.sleep(0.05)
        here.wait_for_health("healthy")

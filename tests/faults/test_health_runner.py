"""A real gateway with runners that die, stop or become zombies, and with
processes that resemble a runner.
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


def runner_state(installation: Installation) -> str:
    return str(installation.health()["components"]["ghost_runner"])


def wait_for_state(installation: Installation, state: str) -> None:
    """The time that it takes is measured by `make bench-health`."""
    wait_until(lambda: runner_state(installation) == state, f"the runner is never {state}")


def test_a_killed_runner_is_down_until_it_is_started_again(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        installation.kill("runner")
        wait_for_state(installation, "down")
        assert installation.health()["overall_status"] == "degraded"
        # Patches are still accepted and stored.
        assert installation.call("GET", "/readyz", key=None).status == 200
        installation.start("runner")
        installation.wait_for_health("healthy")


def test_a_suspended_runner_is_stalled_until_it_is_continued(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        installation.processes["runner"].send_signal(signal.SIGSTOP)
        try:
            wait_for_state(installation, "stalled")
            installation.call("POST", "/webhook", patch_body(id="waiting"))
            assert installation.health()["overall_status"] == "degraded"
        finally:
            installation.processes["runner"].send_signal(signal.SIGCONT)
        installation.wait_until_ended("waiting")
        installation.wait_for_health("healthy")


def test_a_zombie_does_not_count_as_a_runner(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        process = installation.processes.pop("runner")
        process.send_signal(signal.SIGKILL)
        wait_for_state(installation, "down")
        process.wait()


@contextmanager
def watching_a_foreign_runner(place: Path) -> Iterator[tuple[Installation, str]]:
    """A gateway, and the script name it searches for, which no process of
    another test has.
    """
    installation, name = Installation.create(place), f"ghost-runner-{secrets.token_hex(4)}.js"
    installation.health_settings["external_runner"] = name
    installation.configure()
    try:
        installation.start("gateway", "runner")
        wait_until(
            lambda: (
                listens(installation.port)
                and "external_runner" in installation.health()["components"]
            ),
            "not up",
        )
        yield installation, name
    finally:
        installation.stop()


@pytest.mark.parametrize(
    "decoy",
    [
        ["tail", "-f", "ghost-runner.js"],
        [sys.executable, "-c", "import time; time.sleep(600)", "ghost-runner.js"],
        [sys.executable, "editor.py", "ghost-runner.js"],
    ],
    ids=["tail", "inline", "editor"],
)
def test_a_program_with_the_file_open_does_not_count_as_a_foreign_runner(
    tmp_path: Path, decoy: list[str]
):
    with watching_a_foreign_runner(tmp_path) as (installation, name):
        (tmp_path / name).write_text("")
        (tmp_path / "editor.py").write_text("import time; time.sleep(600)")
        process = subprocess.Popen(
            [word.replace("ghost-runner.js", name) for word in decoy], cwd=tmp_path
        )
        try:
            time.sleep(3)  # one scan of the processes, at least
            assert installation.health()["components"]["external_runner"] not in ("up", "stalled")
        finally:
            process.kill()
            process.wait()


def test_a_foreign_runner_is_up_stalled_or_down(tmp_path: Path):
    with watching_a_foreign_runner(tmp_path) as (installation, name):
        script = tmp_path / name
        # Only the file name counts; the interpreter may be any.
        script.write_text("import time; time.sleep(600)")
        process = subprocess.Popen([sys.executable, "-u", str(script)])

        def state() -> str:
            return str(installation.health()["components"]["external_runner"])

        try:
            wait_until(lambda: state() == "up", "the foreign runner is not found")
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: state() == "stalled", "a stopped foreign runner is not stalled")
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: state() == "up", "the foreign runner is not up again")
        finally:
            process.kill()
            process.wait()
        wait_until(lambda: state() == "down", "the foreign runner is not missed")


def test_an_idle_queue_and_an_idle_loop_are_not_reported(tmp_path: Path):
    with installed(tmp_path, "gateway", "runner") as installation:
        for _ in range(80):
            # Only codes about idleness: a machine under load may delay any run.
            idle_codes = {"runner.stalled", "runner.not_claiming", "queue.backlog"}
            assert not idle_codes & set(installation.health()["reasons"])
            time.sleep(0.05)
        installation.wait_for_health("healthy")

"""`gcr up` keeps both processes running and leaves none behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

import psutil
import pytest

from gpt_cursor_runner.cli.up import Child
from tests.building import patch_body
from tests.cli.builders import refused
from tests.running import Installation, installed, is_alive, listens, wait_until


@pytest.fixture
def up(tmp_path):
    """An installation that the test ends."""
    with installed(tmp_path, "up") as installation:
        yield installation


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    with installed(tmp_path_factory.mktemp("lasting"), "up") as installation:
        yield installation


def parts(installation: Installation) -> dict[str, psutil.Process]:
    return parts_of(installation.processes["up"].pid)


def parts_of(pid: int) -> dict[str, psutil.Process]:
    children = psutil.Process(pid).children()
    return {
        word: child
        for child in children
        for word in ("gateway", "runner")
        if word in child.cmdline()
    }


def output_of(installation: Installation) -> str:
    return (installation.directory / "up.log").read_text()


def any_alive(processes: Iterable[psutil.Process]) -> bool:
    return any(is_alive(process.pid) for process in processes)


def test_it_prints_the_url_and_serves(lasting):
    wait_until(
        lambda: "gcr send FILE --wait" in output_of(lasting), "it did not print the greeting"
    )
    assert f"gateway   http://127.0.0.1:{lasting.port}  (" in output_of(lasting)
    assert lasting.call("POST", "/webhook?wait=25", patch_body()).body["status"] == "landed"
    assert (lasting.directory / "state" / "logs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["runner", "gateway"])
def test_it_restarts_a_killed_process(lasting, name):
    killed = parts(lasting)[name]
    killed.kill()
    wait_until(
        lambda: f"{name} ended (signal SIGKILL)" in output_of(lasting), "the end was not reported"
    )
    wait_until(
        lambda: name in parts(lasting) and parts(lasting)[name].pid != killed.pid,
        "it was not started again",
    )
    lasting.wait_for_health("healthy")
    assert lasting.call("POST", "/webhook?wait=25", patch_body()).body["status"] == "landed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_by_a_signal_it_leaves_no_process(up, number):
    process = up.processes.pop("up")
    family = psutil.Process(process.pid).children(recursive=True)
    both = parts_of(process.pid).values()
    assert len(both) == 2 and len(family) >= 3
    process.send_signal(number)
    assert process.wait(20) == 0
    # It ended both itself; they did not end because their parent was gone.
    assert not any_alive(both)
    wait_until(lambda: not any_alive(family), "a process is still alive")
    assert not listens(up.port) and output_of(up).rstrip().endswith("stopped")


def test_killed_it_ends_both_processes(up):
    family = psutil.Process(up.processes["up"].pid).children(recursive=True)
    up.kill("up")
    wait_until(lambda: not any_alive(family), "a process is still alive")


def test_a_taken_port_is_1_and_names_the_process(lasting):
    command = [sys.executable, "-m", "gpt_cursor_runner", "up", "--config", str(lasting.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert f"port {lasting.port} is taken by pid " in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("next: ")
    assert lasting.health()["overall_status"] == "healthy"


def test_without_a_key_it_refuses_at_once(terminal):
    ledger = terminal.installation.ledger()
    for key in ledger.keys.list():
        ledger.keys.revoke(key.id, time.time())
    ledger.close()
    assert "next: gcr key create NAME" in refused(terminal.type("up"), 4)


def test_a_child_that_keeps_dying_is_restarted_with_growing_pauses(tmp_path):
    child = Child("broken", [sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "broken.out")
    now, pauses = 1000.0, []
    for _ in range(4):
        assert child.keep_alive(now) is None and child.process is not None
        child.process.wait()
        words = child.keep_alive(now)
        assert words and "exit code 7" in words
        pauses.append(float(words.split(" in ")[1].split(" s")[0]))
        assert child.keep_alive(now) is None and child.process is None  # not due yet
        now += pauses[-1]
    assert pauses == [0.2, 0.4, 0.8, 1.6]


def test_the_greeting_is_json_with_the_option(tmp_path):
    installation = Installation.create(tmp_path)
    command = [
        sys.executable,
        "-m",
        "gpt_cursor_runner",
        "up",
        "--json",
        "--config",
        str(installation.config),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert process.stdout is not None
        greeting = json.loads(process.stdout.readline())
        assert (greeting["url"], greeting["pid"]) == (
            f"http://127.0.0.1:{installation.port}",
            process.pid,
        )
        # On a busy machine the greeting follows after five seconds, in any state.
        assert greeting["health"] in ("healthy", "degraded")
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert not listens(installation.port)


def test_the_version_is_printed_without_heavy_imports():
    program = (
        "import sys\nfrom gpt_cursor_runner.cli import main\ntry:\n    main(['--version'])\nexcept"
        " SystemExit:\n    pass\nheavy = {'flask', 'sqlalchemy', 'pydantic', 'alembic', 'granian',"
        " 'psutil', 'structlog'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_the_health_command_imports_no_server_and_no_database(terminal):
    program = (
        "import sys\nfrom gpt_cursor_runner.cli import main\n"
        "try:\n    main(['health', '--quiet', '--config', sys.argv[1]])\n"
        "except SystemExit as end:\n    assert end.code == 5\n"
        "heavy = {'flask', 'sqlalchemy', 'alembic', 'granian'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program, str(terminal.installation.config)], check=True)

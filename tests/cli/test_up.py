"""`gcr up`: both processes, whatever happens to one of them, and none of them
afterwards.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from gpt_cursor_runner.cli.up import Child
from tests.building import patch_body
from tests.cli.builders import refused
from tests.running import Installation, installed, is_alive, listens, wait_until


@pytest.fixture
def up(tmp_path):
    """For a test that ends it."""
    with installed(tmp_path, "up") as one:
        yield one


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    with installed(tmp_path_factory.mktemp("lasting"), "up") as one:
        yield one


def parts(one: Installation) -> dict[str, psutil.Process]:
    return parts_of(one.processes["up"].pid)


def parts_of(pid: int) -> dict[str, psutil.Process]:
    children = psutil.Process(pid).children()
    return {
        word: child
        for child in children
        for word in ("gateway", "runner")
        if word in child.cmdline()
    }


def said(one: Installation) -> str:
    return (one.directory / "up.log").read_text()


def test_it_greets_with_the_url_and_serves(lasting):
    wait_until(lambda: "gcr send FILE --wait" in said(lasting), "it did not greet")
    assert f"gateway   http://127.0.0.1:{lasting.port}  (" in said(lasting)
    assert lasting.call("POST", "/webhook?wait=25", patch_body()).body["status"] == "landed"
    assert (lasting.directory / "state" / "logs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["runner", "gateway"])
def test_it_starts_again_what_was_killed(lasting, name):
    killed = parts(lasting)[name]
    killed.kill()
    wait_until(lambda: f"{name} ended (signal SIGKILL)" in said(lasting), "nobody noticed")
    wait_until(
        lambda: name in parts(lasting) and parts(lasting)[name].pid != killed.pid,
        "it was not started again",
    )
    lasting.wait_for_health("healthy")
    assert lasting.call("POST", "/webhook?wait=25", patch_body()).body["status"] == "landed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_leaves_no_process(up, number):
    process = up.processes.pop("up")
    family = psutil.Process(process.pid).children(recursive=True)
    both = parts_of(process.pid).values()
    assert len(both) == 2 and len(family) >= 3
    process.send_signal(number)
    assert process.wait(20) == 0
    assert not any(
        is_alive(one.pid) for one in both
    )  # ended by it, and not by noticing that it has gone
    wait_until(lambda: not any(is_alive(one.pid) for one in family), "something lives on")
    assert not listens(up.port) and said(up).rstrip().endswith("stopped")


def test_killed_it_takes_both_with_it(up):
    family = psutil.Process(up.processes["up"].pid).children(recursive=True)
    up.kill("up")
    wait_until(lambda: not any(is_alive(one.pid) for one in family), "something lives on")


def test_a_taken_port_is_1_and_names_who_has_it(lasting):
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


def test_what_keeps_dying_is_started_ever_more_rarely(tmp_path):
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


def test_json_greets_in_json(tmp_path):
    one = Installation.create(tmp_path)
    command = [
        sys.executable,
        "-m",
        "gpt_cursor_runner",
        "up",
        "--json",
        "--config",
        str(one.config),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert process.stdout is not None
        greeting = json.loads(process.stdout.readline())
        assert (greeting["url"], greeting["pid"]) == (f"http://127.0.0.1:{one.port}", process.pid)
        # On a busy machine it greets after five seconds, whatever the state is then.
        assert greeting["health"] in ("healthy", "degraded")
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert not listens(one.port)


def test_looking_at_the_version_imports_no_part_of_the_product():
    program = (
        "import sys\nfrom gpt_cursor_runner.cli import main\ntry:\n    main(['--version'])\nexcept"
        " SystemExit:\n    pass\nheavy = {'flask', 'sqlalchemy', 'pydantic', 'alembic', 'granian',"
        " 'psutil', 'structlog'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_asking_for_health_imports_no_server_and_no_database(terminal):
    program = (
        "import sys\nfrom gpt_cursor_runner.cli import main\n"
        "try:\n    main(['health', '--quiet', '--config', sys.argv[1]])\n"
        "except SystemExit as end:\n    assert end.code == 5\n"
        "heavy = {'flask', 'sqlalchemy', 'alembic', 'granian'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program, str(terminal.installation.config)], check=True)

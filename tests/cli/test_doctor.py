"""`gcr doctor`: each broken precondition is a FAIL with its remedy, and decides
the exit code.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.building import make_admission
from tests.cli.builders import Terminal
from tests.running import Installation


def findings(terminal: Terminal, code: int) -> dict[str, Any]:
    body = terminal.json("doctor", code=code)
    results = [finding["result"] for finding in body["findings"]]
    assert body["failed"] == results.count("FAIL")
    for finding in body["findings"]:
        assert finding["result"] == "PASS" or finding["next_command"], finding
        assert finding["fact"] and finding["why"]
    return {finding["id"]: finding for finding in body["findings"]}


def test_a_correct_installation_has_no_failure(terminal):
    results = findings(terminal, 0)
    assert {
        "python",
        "git",
        "sqlite",
        "settings",
        "ledger",
        "history",
        "keys",
        "repository app",
    } <= set(results)
    assert (results["runner"]["result"], results["gateway"]["result"]) == ("WARN", "WARN")
    assert results["gateway"]["next_command"] == "gcr up"


def revoke_all(installation):
    ledger = installation.ledger()
    for key in ledger.keys.list():
        ledger.keys.revoke(key.id, time.time())
    ledger.close()


def break_chain(installation):
    ledger = installation.ledger()
    ledger.intake.accept([make_admission()])
    with ledger.database.write() as connection:
        connection.exec_driver_sql("UPDATE events SET actor = 'somebody else'")
    ledger.close()


def break_ledger(installation):
    for file in (installation.directory / "state").glob("ledger.sqlite3*"):
        file.unlink()
    (installation.directory / "state" / "ledger.sqlite3").write_bytes(b"no database" * 1000)


BROKEN: dict[str, Callable[[Installation], object]] = {
    "keys": revoke_all,
    "history": break_chain,
    "ledger": break_ledger,
    "settings": lambda installation: installation.config.write_text("[server]\nprot = 1\n"),
    "repository app": lambda installation: shutil.rmtree(installation.repo.path / ".git"),
    "repositories": lambda installation: installation.config.write_text(
        installation.config.read_text().split("[[repository]]")[0]
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_precondition_fails_by_name(terminal, name):
    BROKEN[name](terminal.installation)
    results = findings(terminal, 1)
    assert results[name]["result"] == "FAIL"


def test_a_check_without_its_program_fails(terminal):
    terminal.installation.configure(checks=[{"name": "tests", "command": ["no-such-program"]}])
    finding = findings(terminal, 1)["repository app"]
    assert finding["result"] == "FAIL"
    assert "no-such-program" in finding["fact"]


def test_a_branch_without_a_commit_fails(terminal):
    terminal.installation.configure(branch="release")
    assert "release" in findings(terminal, 1)["repository app"]["fact"]


def test_a_missing_git_fails(terminal, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert findings(terminal, 1)["git"]["fact"] == "git is not installed"


def test_settings_that_others_can_read_are_a_warning(terminal):
    terminal.installation.config.chmod(0o644)
    finding = findings(terminal, 0)["settings"]
    assert (finding["result"], finding["next_command"]) == (
        "WARN",
        f"chmod 600 {terminal.installation.config}",
    )


def test_a_port_held_by_another_program_fails_and_names_it(terminal):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", terminal.installation.port))
        other.listen()
        finding = findings(terminal, 1)["gateway"]
    assert finding["result"] == "FAIL" and f"pid {os.getpid()}" in finding["fact"]


class ForeignServer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'["not", "a", "gateway"]'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is printed."""


def test_a_foreign_server_does_not_count_as_the_gateway(terminal):
    server = HTTPServer(("127.0.0.1", terminal.installation.port), ForeignServer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        assert findings(terminal, 1)["gateway"]["result"] == "FAIL"
        for words in (["health"], ["status"]):
            assert terminal.type(*words).exit_code == 5
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_text_ends_with_the_count(terminal):
    result = terminal.type("doctor")
    assert result.stdout.splitlines()[-1].endswith("with a warning") and "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("program", "result", "fact"),
    [
        ("import greeting; greeting.greet()", "PASS", "a required check fails without the sources"),
        ("print(1)", "FAIL", "no required check fails when every source file is empty"),
        ("raise SystemExit('no such module')", "FAIL", "no such module"),
    ],
)
def test_checks_run_on_the_branch_with_the_option(terminal, program, result, fact):
    terminal.installation.configure(
        checks=[{"name": "tests", "command": [sys.executable, "-c", program]}]
    )
    body = terminal.json("doctor", "--checks", code=int(result == "FAIL"))
    rehearsed = body["findings"][-1]
    assert (rehearsed["id"], rehearsed["result"]) == ("checks app", result)
    assert fact in rehearsed["fact"]
    assert terminal.installation.repo.run("status", "--short") == ""


def test_checks_that_cannot_run_are_a_failure(terminal):
    terminal.installation.configure(branch="nowhere")
    body = terminal.json("doctor", "--checks", code=1)
    assert "no branch nowhere" in body["findings"][-1]["fact"]

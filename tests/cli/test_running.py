"""Commands that call a running gateway, and a runner behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from gpt_cursor_runner.cli.client import Client
from gpt_cursor_runner.cli.output import CommandFailed, Session
from gpt_cursor_runner.cli.send import _follow
from tests.building import patch_body
from tests.cli.builders import Terminal, refused
from tests.running import Installation, installed

ESCAPE = "\x1b"


@pytest.fixture
def user(running: Installation) -> Terminal:
    return Terminal(running)


def file_with(tmp_path: Path, body: object) -> str:
    file = tmp_path / "patch.json"
    file.write_text(json.dumps(body))
    return str(file)


def test_a_patch_is_sent_followed_and_reported(user, tmp_path):
    body = patch_body(id="patch-v1.0(P1)_cli")
    sent = user.type("send", file_with(tmp_path, body), "--wait", "--timeout", "60")
    assert sent.exit_code == 0, sent.output
    assert (
        "patch-v1.0(P1)_cli: landed" in sent.stdout
        and "next: gcr report 'patch-v1.0(P1)_cli'" in sent.stdout
    )
    assert user.json("show", body["id"])["patch"]["status"] == "landed"
    assert "notes/" in user.type("diff", body["id"]).stdout
    assert body["title"] in user.type("report", body["id"]).stdout
    assert user.json("send", file_with(tmp_path, body))["replayed"] is True
    assert "next: gcr show" in refused(user.type("cancel", body["id"]), 1)


def test_json_and_wait_answer_once_with_the_outcome(user):
    body = json.dumps(patch_body()).encode()
    assert user.json("send", "-", "--wait", stdin=body)["outcome"]["commit"]


def test_a_preview_lands_nothing(user, running):
    tip = running.repo.tip()
    body = user.json("send", "-", "--wait", "--preview", stdin=json.dumps(patch_body()).encode())
    assert (body["status"], running.repo.tip()) == ("previewed", tip)


def test_a_raw_diff_is_sent_with_an_id_and_a_title(user, running):
    diff = (
        b'--- a/greeting.py\n+++ b/greeting.py\n@@ -1,2 +1,2 @@\n def greet():\n-    return "hi"\n+'
        b'    return "ho"\n'
    )
    body = user.json("send", "-", "--id", "raw", "--title", "Raw", "--wait", stdin=diff)
    assert body["status"] == "landed" and running.repo.show("greeting.py").endswith('"ho"')


def test_a_refusal_lists_every_fault(user, tmp_path):
    words = refused(
        user.type("send", file_with(tmp_path, {"id": "x", "changes": [{"type": "rewrite"}]})), 1
    )
    assert "/title" in words and "/changes/0/type" in words and "Add 'title'." in words
    problem = user.json("send", file_with(tmp_path, {"id": "x"}), code=1)["error"]["problem"]
    assert (problem["status"], problem["code"]) == (422, "invalid_patch")


def test_a_key_without_the_scope_is_4(user, tmp_path, monkeypatch):
    monkeypatch.setenv("GCR_KEY", "gcr_000000000000_" + "A" * 43)
    assert "next: gcr key create" in refused(
        user.type("send", file_with(tmp_path, patch_body())), 4
    )


def test_the_users_own_key_is_used(user, running, tmp_path, monkeypatch):
    monkeypatch.setenv("GCR_KEY", running.key)
    user.json("send", file_with(tmp_path, patch_body(id="own-key")))
    ledger = running.ledger()
    assert ledger.queries.get("own-key").submitted_by == "a test"
    ledger.close()


def test_temporary_keys_are_revoked(user, running):
    user.type("status")
    ledger = running.ledger()
    assert [key.name for key in ledger.keys.list()] == ["a test"]
    ledger.close()


def test_a_wait_that_times_out_is_6(user, running, monkeypatch):
    running.kill("runner")
    try:
        sent = user.type(
            "send",
            "-",
            "--wait",
            "--timeout",
            "0.5",
            stdin=json.dumps(patch_body(id="slow")).encode(),
        )
        assert sent.exit_code == 6 and "next: gcr show slow" in sent.stderr
    finally:
        running.start("runner")
        running.wait_for_health("healthy")


def test_answers_without_a_wait_do_not_cause_rapid_requests(user, running, monkeypatch):
    requested_at: list[float] = []

    class HastyClient:
        def call(self, *arguments, **options):
            requested_at.append(time.monotonic())

        def expect(self, reply):
            return {"status": "queued"}

    with pytest.raises(CommandFailed):
        _follow(Session(None, as_json=True), cast(Client, HastyClient()), "x", time.monotonic() + 1)
    assert len(requested_at) <= 6


def test_health_and_status_are_0_when_healthy(user, running):
    running.wait_for_health("healthy")
    assert user.json("health")["overall_status"] == "healthy"
    assert json.loads(user.type("health").stdout)["components"]["ghost_runner"] == "up"
    quiet = user.type("health", "--quiet", "--wait", "5")
    assert (quiet.exit_code, quiet.output) == (0, "")
    status = user.type("status")
    assert status.exit_code == 0 and "runner\t" in status.stdout and ESCAPE not in status.output
    assert user.json("doctor")["failed"] == 0


def test_a_dead_runner_is_3(user, running):
    running.kill("runner")
    try:
        running.wait_for_health("degraded")
        assert user.type("health", "--quiet").exit_code == 3
        status = user.type("status")
        assert (
            status.exit_code == 3
            and "down: no runner holds the lock" in status.stdout
            and "`gcr up`" in status.stdout
        )
    finally:
        running.start("runner")
        running.wait_for_health("healthy")


def test_a_second_runner_is_refused(user, running):
    assert "another runner" in refused(user.type("runner"), 1)


def test_a_wait_for_health_ends_at_recovery(user, running):
    running.kill("runner")
    running.wait_for_health("degraded")
    threading.Timer(0.5, running.start, ("runner",)).start()
    assert user.type("health", "--quiet", "--wait", "30").exit_code == 0


@pytest.mark.parametrize(
    "words", [["--version"], ["patches"], ["status"], ["doctor"]], ids=" ".join
)
def test_a_real_process_prints_no_escapes(running, words):
    command = [sys.executable, "-m", "gpt_cursor_runner", *words]
    if words != ["--version"]:
        command += ["--config", str(running.config)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "FORCE_COLOR": ""}
    )
    assert done.returncode in (0, 3), done.stderr
    assert done.stdout and ESCAPE not in done.stdout + done.stderr


def test_a_closed_pipe_ends_a_command_without_a_traceback(running):
    command = f"{sys.executable} -m gpt_cursor_runner patches --config '{running.config}' | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr


FAILS_ON_PATCH = """if True:
    import os
    if os.path.exists("notes"):
        print("1 failed: test_greeting")
        raise SystemExit(1)"""


def test_a_failing_check_is_shown_with_the_end_of_its_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failing = {
        "name": "tests",
        "command": [sys.executable, "-c", FAILS_ON_PATCH],
    }
    with installed(tmp_path / "one", "gateway", "runner", checks=[failing]) as installation:
        ended = Terminal(installation).type(
            "send", "-", "--wait", stdin=json.dumps(patch_body()).encode()
        )
    assert ended.exit_code == 1
    assert "the check 'tests' failed with exit code 1" in ended.stderr
    assert "    | 1 failed: test_greeting" in ended.stderr


def test_status_without_a_valid_key_lists_every_component(running, monkeypatch):
    monkeypatch.setenv("GCR_KEY", "gcr_0123456789ab_" + "x" * 43)
    shown = Terminal(running).type("status").stdout
    assert "ghost_runner\tup" in shown
    assert "fs_writable\tTrue" in shown


def test_status_shows_the_checks_with_a_key_just_created(user):
    for _ in range(3):
        assert list(user.json("status")["checks"])[:2] == ["web", "port"]

"""Changes of runner.toml take effect under running processes, or are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.config import load_config
from gpt_cursor_runner.config.profile import profile_digest
from gpt_cursor_runner.engine.runner_lock import read_beat
from tests.building import Repo, patch_body
from tests.running import PASSING_CHECK, Installation, installed, wait_until

# Fails for the patch "bad" alone: a check that fails without the patch as well is
# the owner's fault.
FAILING_CHECK = {"name": "tests", "command": ["test", "!", "-e", "notes/bad.txt"]}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, "up") as started:
        yield started


def land(installation: Installation, **members: Any) -> dict[str, Any]:
    body = patch_body(**members)
    assert installation.call("POST", "/webhook", body).status == 202
    return installation.wait_until_ended(body["id"])


def report(installation: Installation, patch_id: str) -> dict[str, Any]:
    route = f"/v1/patches/{patch_id}/report?format=json"
    wait_until(lambda: installation.call("GET", route).status == 200, "there is no report")
    body: dict[str, Any] = installation.call("GET", route).body
    return body


def expected_digest(installation: Installation) -> str:
    config = load_config(installation.config)
    return profile_digest(config.repository[0], config.sandbox)


def wait_for_settings(installation: Installation, state: str) -> None:
    wait_until(
        lambda: installation.health()["components"]["settings"] == state,
        f"settings did not become {state}",
    )


def test_a_changed_check_judges_the_next_patch_and_the_report_tells(installation) -> None:
    before = land(installation)
    assert before["status"] == "landed"
    assert report(installation, before["patch_id"])["validation"]["profile_digest"] == (
        expected_digest(installation)
    )
    installation.configure(checks=[FAILING_CHECK])
    after = land(installation, id="bad")
    assert after["status"] == "rejected"
    assert after["outcome"]["code"] == "checks_failed"
    digest = expected_digest(installation)
    assert report(installation, after["patch_id"])["validation"]["profile_digest"] == digest
    markdown = installation.call("GET", f"/v1/patches/{after['patch_id']}/report").body
    assert digest in markdown


def test_a_wrong_edit_is_refused_and_visible_until_it_is_mended(installation) -> None:
    installation.configure(checks=[FAILING_CHECK | {"timeout": 5}])
    wait_for_settings(installation, "fail")
    anonymous = installation.health()
    assert anonymous["overall_status"] == "degraded"
    assert "settings.invalid" in anonymous["reasons"]
    assert str(installation.directory) not in str(anonymous)
    check = installation.call("GET", "/health/checks/settings").body
    assert "repository[0].checks[0].timeout" in check["message"]
    assert check["remedy"]
    assert land(installation)["status"] == "landed"
    installation.configure(checks=[FAILING_CHECK])
    wait_for_settings(installation, "ok")
    installation.wait_for_health("healthy")
    assert land(installation, id="bad")["status"] == "rejected"


def test_a_killed_runner_starts_again_with_the_last_valid_settings(installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text("[server\n")
    wait_for_settings(installation, "fail")
    beat = read_beat(installation.directory / "state")
    assert beat is not None
    os.kill(beat.pid, signal.SIGKILL)
    assert land(installation)["status"] == "landed"
    assert installation.health()["components"]["settings"] == "fail"
    installation.config.write_text(text)
    installation.wait_for_health("healthy")


def test_a_file_that_vanishes_leaves_the_old_settings(installation) -> None:
    installation.config.rename(installation.config.with_suffix(".away"))
    wait_for_settings(installation, "fail")
    assert land(installation)["status"] == "landed"
    installation.config.with_suffix(".away").rename(installation.config)
    wait_for_settings(installation, "ok")


def test_a_new_port_waits_for_a_restart(installation) -> None:
    text = installation.config.read_text()
    installation.config.write_text(text.replace(f"port = {installation.port}", "port = 7", 1))
    wait_for_settings(installation, "warn")
    assert "settings.restart_needed" in installation.health()["reasons"]
    assert "server.port" in installation.call("GET", "/health/checks/settings").body["message"]


def test_an_attempt_keeps_the_settings_that_it_began_with(installation, tmp_path: Path) -> None:
    started, released = tmp_path / "started", tmp_path / "released"
    script = f"touch {started}; while ! test -e {released}; do sleep 0.05; done"
    installation.configure(checks=[{"name": "slow", "command": ["sh", "-c", script]}])
    slow = patch_body()
    installation.call("POST", "/webhook", slow)
    wait_until(started.exists, "the check did not start")
    began_with = expected_digest(installation)
    installation.configure(checks=[PASSING_CHECK, FAILING_CHECK | {"name": "second"}])
    next_one = patch_body(id="bad")
    installation.call("POST", "/webhook", next_one)
    released.touch()
    assert installation.wait_until_ended(slow["id"])["status"] == "landed"
    digest = report(installation, slow["id"])["validation"]["profile_digest"]
    assert digest == began_with
    assert installation.wait_until_ended(next_one["id"])["status"] == "rejected"


def test_a_missing_repository_holds_up_its_own_patches_alone(tmp_path: Path) -> None:
    installation = Installation.create(tmp_path)
    gone = tmp_path / "gone"
    text = installation.config.read_text()
    section = f'[[repository]]\nname = "gone"\npath = "{gone}"\nsandbox = "none"\n'
    installation.config.write_text(text + section)
    try:
        installation.start("up")
        installation.wait_for_health("degraded")
        wait_until(
            lambda: "repositories.missing" in installation.health()["reasons"],
            "health does not name the repository",
        )
        waiting, other = patch_body(repository="gone"), patch_body(repository="app")
        for body in (waiting, other):
            assert installation.call("POST", "/webhook", body).status == 202
        assert installation.wait_until_ended(other["id"])["status"] == "landed"
        shown = installation.call("GET", f"/v1/patches/{waiting['id']}").body
        assert (shown["status"], shown["attempts"]) == ("queued", 0)
        assert shown["waiting_for"]["code"] == "missing"
        assert shown["waiting_for"]["next_step"]
        wait_until(
            lambda: installation.health()["components"]["ghost_runner"] == "up",
            "a runner with another repository is not up",
        )
        Repo.create(gone)
        landed = installation.wait_until_ended(waiting["id"])
        assert (landed["status"], landed["attempts"]) == ("landed", 1)
        assert "waiting_for" not in landed
    finally:
        installation.stop()


def test_a_runner_with_no_repository_left_is_blocked(installation) -> None:
    aside = installation.repo.path.with_name("aside")
    installation.repo.path.rename(aside)
    body = patch_body()
    assert installation.call("POST", "/webhook", body).status == 202
    wait_until(
        lambda: installation.health()["components"]["ghost_runner"] == "blocked",
        "the runner did not become blocked",
    )
    check = installation.call("GET", "/health/checks/runner").body
    assert check["code"] == "blocked"
    assert "correct its path in runner.toml" in check["remedy"]
    aside.rename(installation.repo.path)
    assert installation.wait_until_ended(body["id"])["status"] == "landed"
    wait_until(
        lambda: installation.health()["components"]["ghost_runner"] == "up",
        "the runner stayed blocked",
    )


def gcr(installation: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpt_cursor_runner", *words]
    command += ["--config", str(installation.config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_commands_work_while_the_file_is_invalid(installation, tmp_path: Path) -> None:
    text = installation.config.read_text()
    installation.config.write_text(text + "[[repository]\n")
    wait_for_settings(installation, "fail")
    shown = gcr(installation, "status")
    assert shown.returncode == 3, shown.stderr
    assert "invalid: " in shown.stdout
    assert "Correct runner.toml" in shown.stdout
    assert "warning: " in shown.stderr
    assert gcr(installation, "patches").returncode == 0
    refused = gcr(installation, "up")
    assert refused.returncode == 2
    (tmp_path / "patch.json").write_text(json.dumps(patch_body()))
    sent = gcr(installation, "send", "--wait", str(tmp_path / "patch.json"))
    assert sent.returncode == 0, sent.stderr


def test_a_sender_is_shown_why_its_patch_waits(installation, tmp_path: Path) -> None:
    aside = installation.repo.path.with_name("aside")
    installation.repo.path.rename(aside)
    (tmp_path / "patch.json").write_text(json.dumps(patch_body()))
    sent = gcr(installation, "send", "--wait", "--timeout", "8", str(tmp_path / "patch.json"))
    assert sent.returncode == 6
    assert "waiting: app is blocked: " in sent.stderr
    assert "next: Restore the repository" in sent.stderr

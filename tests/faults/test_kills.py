"""Processes are killed at random moments: every accepted patch lands exactly
once.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.runner.attempt import MAX_ATTEMPTS
from tests.building import Repo, patch_body
from tests.running import Installation, installed, wait_until

PATCHES = 50
_KILL_EVERY_SECONDS = (0.3, 1.2)
# A patch in whose attempts the runner dies more than MAX_ATTEMPTS times fails,
# rightly. On a busy machine an attempt may take longer than the pause.
_KILLS_IN_A_ROW = MAX_ATTEMPTS - 1


@pytest.mark.timeout(240)
def test_fifty_patches_land_exactly_once_while_both_processes_are_killed(tmp_path: Path):
    dice = random.Random(20261123)
    with installed(tmp_path, "gateway", "runner") as installation:
        accepted: set[str] = set()
        sender = threading.Thread(target=_send_all, args=(installation, accepted), daemon=True)
        sender.start()
        kills = kills_in_a_row = landed = 0
        while sender.is_alive() or _unfinished(installation):
            time.sleep(dice.uniform(*_KILL_EVERY_SECONDS))
            if _landed(installation) > landed:
                kills_in_a_row, landed = 0, _landed(installation)
            if kills < 24 and kills_in_a_row < _KILLS_IN_A_ROW:
                victim = dice.choice(["runner", "runner", "gateway"])
                installation.kill(victim)
                installation.start(victim)
                kills += 1
                kills_in_a_row += 1
        assert kills >= 10
        assert len(accepted) == PATCHES
        _assert_each_landed_once(installation, accepted)
        ledger = installation.ledger()
        assert ledger.first_broken_link() is None
        ledger.close()


def _are_accepted(installation: Installation, bodies: list[dict[str, Any]]) -> bool:
    replies = [installation.call("POST", "/webhook", body) for body in bodies]
    return all(reply.status in (200, 202) for reply in replies)


def _send_all(installation: Installation, accepted: set[str]) -> None:
    """Send each patch until it is accepted, as a sender without an answer does."""
    for number in range(PATCHES):
        body = patch_body(id=f"kill-{number}", changes=[_change(number)])
        while True:
            try:
                reply = installation.call("POST", "/webhook", body, seconds=5)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
                continue
            if reply.status in (200, 202):
                accepted.add(f"kill-{number}")
                break
            assert reply.status == 503, reply.body
            time.sleep(0.1)


def _change(number: int) -> dict[str, str]:
    return {"type": "upsert", "path": f"files/{number}.txt", "contents": f"{number}\n"}


def _landed(installation: Installation) -> int:
    return int(installation.repo.run("rev-list", "--count", "main")) - 1


def _unfinished(installation: Installation) -> bool:
    ledger = installation.ledger()
    try:
        facts = ledger.queue_facts()
        return facts.queued + facts.running > 0
    finally:
        ledger.close()


def _assert_each_landed_once(installation: Installation, accepted: set[str]) -> None:
    for patch_id in accepted:
        assert installation.wait_until_ended(patch_id)["status"] == "landed"
    wait_until(lambda: not _unfinished(installation), "the queue is not empty")
    ids = installation.repo.run(
        "log", "main", "--format=%(trailers:key=Patch-Id,valueonly)"
    ).split()
    assert sorted(ids) == sorted(accepted)
    assert set(installation.repo.run("tag").split()) == accepted
    assert installation.repo.run("for-each-ref", "refs/gcr") == ""
    assert installation.repo.run("status", "--short") == ""


@pytest.mark.timeout(240)
def test_two_patches_at_work_survive_the_death_of_their_runner(tmp_path: Path):
    started = tmp_path / "started"
    started.mkdir()
    script = f"touch {started}/$$; while ! test -e {tmp_path}/released; do sleep 0.05; done"
    check = {"name": "slow", "command": ["sh", "-c", script]}
    with installed(tmp_path, "gateway", "runner", checks=[check]) as installation:
        second = Repo.create(tmp_path / "site")
        installation.configure_also(second, name="site", checks=[check])
        bodies = [patch_body(repository=name) for name in ("app", "site")]
        # The second repository is accepted once the settings are read again.
        wait_until(lambda: _are_accepted(installation, bodies), "the patches were not accepted")
        wait_until(lambda: len(list(started.iterdir())) == 2, "the checks did not overlap")
        installation.kill("runner")
        installation.start("runner")
        wait_until(lambda: len(list(started.iterdir())) == 4, "the checks did not start again")
        (tmp_path / "released").touch()
        for body in bodies:
            ended = installation.wait_until_ended(str(body["id"]))
            assert (ended["status"], ended["attempts"]) == ("landed", 2)
        for repo in (installation.repo, second):
            assert repo.run("rev-list", "--count", "main") == "2"
            assert repo.run("for-each-ref", "refs/gcr") == ""
        assert list((tmp_path / "state" / "workspaces").iterdir()) == []
        ledger = installation.ledger()
        assert ledger.first_broken_link() is None
        ledger.close()

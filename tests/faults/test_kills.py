"""kill -9 at any moment: every accepted patch lands exactly once, and none is
lost.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from pathlib import Path

import pytest

from gpt_cursor_runner.runner.attempt import MAX_ATTEMPTS
from tests.building import patch_body
from tests.running import Installation, installed, wait_until

PATCHES = 50
_KILL_EVERY_SECONDS = (0.3, 1.2)
# A patch in whose attempts the runner dies more than MAX_ATTEMPTS times fails,
# rightly. On a busy machine an attempt may take longer than the pause.
_KILLS_IN_A_ROW = MAX_ATTEMPTS - 1


@pytest.mark.timeout(240)
def test_fifty_patches_land_exactly_once_while_both_processes_are_killed(tmp_path: Path):
    dice = random.Random(20261123)
    with installed(tmp_path, "gateway", "runner") as here:
        accepted: set[str] = set()
        sender = threading.Thread(target=_send_all, args=(here, accepted), daemon=True)
        sender.start()
        kills = kills_in_a_row = landed = 0
        while sender.is_alive() or _unfinished(here):
            time.sleep(dice.uniform(*_KILL_EVERY_SECONDS))
            if _landed(here) > landed:
                kills_in_a_row, landed = 0, _landed(here)
            if kills < 24 and kills_in_a_row < _KILLS_IN_A_ROW:
                victim = dice.choice(["runner", "runner", "gateway"])
                here.kill(victim)
                here.start(victim)
                kills += 1
                kills_in_a_row += 1
        assert kills >= 10
        assert len(accepted) == PATCHES
        _assert_each_landed_once(here, accepted)
        ledger = here.ledger()
        assert ledger.first_broken_link() is None
        ledger.close()


def _send_all(here: Installation, accepted: set[str]) -> None:
    """Send each patch until it was accepted, as a sender does who got no answer."""
    for number in range(PATCHES):
        body = patch_body(id=f"kill-{number}", changes=[_change(number)])
        while True:
            try:
                reply = here.call("POST", "/webhook", body, seconds=5)
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


def _landed(here: Installation) -> int:
    return int(here.repo.run("rev-list", "--count", "main")) - 1


def _unfinished(here: Installation) -> bool:
    ledger = here.ledger()
    try:
        facts = ledger.queue_facts()
        return facts.queued + facts.running > 0
    finally:
        ledger.close()


def _assert_each_landed_once(here: Installation, accepted: set[str]) -> None:
    for patch_id in accepted:
        assert here.wait_until_ended(patch_id)["status"] == "landed"
    wait_until(lambda: not _unfinished(here), 10, "the queue is not empty")
    ids = here.repo.run("log", "main", "--format=%(trailers:key=Patch-Id,valueonly)").split()
    assert sorted(ids) == sorted(accepted)
    assert set(here.repo.run("tag").split()) == accepted
    assert here.repo.run("for-each-ref", "refs/gcr") == ""
    assert here.repo.run("status", "--short") == ""

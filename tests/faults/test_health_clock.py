"""The wall clock is set while the gateway runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from tests.running import Installation, wait_until

_FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.mark.skipif(_FAKETIME is None, reason="libfaketime is not installed")
def test_a_clock_set_back_an_hour_and_forward_a_day_changes_no_age_and_no_word(tmp_path: Path):
    here = Installation.create(tmp_path)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = [sys.executable, "-m", "gpt_cursor_runner", "gateway", "--config", str(here.config)]
    log = (tmp_path / "gateway.log").open("ab")
    try:
        here.start("runner")
        here.processes["gateway"] = subprocess.Popen(
            command, env=os.environ | faked, stdout=log, stderr=log, start_new_session=True
        )
        here.wait_for_health("healthy")
        began = time.monotonic()
        for offset, seconds in (("-3600", -3600.0), ("+86400", 86_400.0)):
            clock.write_text(offset)
            clock_is_set = partial(_clock_is_off_by, here, seconds)
            wait_until(clock_is_set, 10, "the clock was not set")
            give_up_at = time.monotonic() + 3
            while time.monotonic() < give_up_at:
                body = here.call("GET", "/health").body
                assert body["overall_status"] == "healthy", body["reasons"]
                assert 0 <= body["age_ms"] < body["max_age_ms"]
                ages = [one["age_ms"] for one in body["checks"].values()]
                assert all(0 <= age < 60_000 for age in ages)
                time.sleep(0.1)
        watched_seconds = time.monotonic() - began
        here.processes["gateway"].terminate()
        here.processes.pop("gateway").wait(20)
        _assert_kept(here, watched_seconds)
    finally:
        here.stop()
        log.close()


def _clock_is_off_by(here: Installation, seconds: float) -> bool:
    return abs(_said(here) - time.time() - seconds) < 60


def _said(here: Installation) -> float:
    return datetime.fromisoformat(here.health()["observed_at"]).timestamp()


def _assert_kept(here: Installation, watched_seconds: float) -> None:
    """What was written down lies within the minutes of the test, and all of it
    is time in which somebody looked.
    """
    ledger = here.ledger()
    seen = ledger.uptime.observations(60, since=0)
    flips = ledger.alerts.flips()
    ledger.close()
    assert (
        watched_seconds - 3
        < sum(sum(one.seconds["overall"]) for one in seen)
        < watched_seconds + 30
    )
    moments = [one.start for one in seen] + [flip.at for flip in flips]
    assert max(abs(moment - time.time()) for moment in moments) < 300

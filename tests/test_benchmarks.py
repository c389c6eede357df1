"""The benchmarks of health: a wrong answer counts as wrong, and no process
outlives them.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.health.clients import fairness, poll
from benchmarks.health.report import Aim, fitted_slope, percentile, spread
from benchmarks.health.sleepers import sleepers
from benchmarks.health.truth import RECOVERY_SECONDS, TROUBLES, Stage, malformed
from tests.running import free_port, wait_until

ROOT = Path(__file__).parents[1]
DISK_HUNG = next(trouble for trouble in TROUBLES if trouble.name == "disk_hung")
STARTS_SLEEPERS = """
import sys
from benchmarks.health.sleepers import sleepers
with sleepers(5):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("stage", "word", "moment", "is_true"),
    [
        (Stage(), "healthy", 0, True),
        (Stage(), "degraded", 0, False),
        (Stage(DISK_HUNG, 100), "healthy", 109, True),
        (Stage(DISK_HUNG, 100), "healthy", 111, False),
        (Stage(DISK_HUNG, 100), "unknown", 101, True),
        (Stage(DISK_HUNG, 100), "degraded", 101, False),
        (Stage(DISK_HUNG, 100, 120), "unknown", 120 + RECOVERY_SECONDS, True),
        (Stage(DISK_HUNG, 100, 120), "unknown", 121 + RECOVERY_SECONDS, False),
        (Stage(DISK_HUNG, 100, 120), "healthy", 121, True),
        (Stage(DISK_HUNG, 100, 120), "error", 121, False),
    ],
)
def test_a_status_is_compared_with_the_injected_trouble(
    stage: Stage, word: str, moment: float, is_true: bool
):
    assert stage.allows(word, moment) is is_true


def test_an_answer_with_inconsistent_members_is_malformed():
    raw, fresh = b'{"overall_status": "unknown"', {"age_ms": 1, "max_age_ms": 2}
    assert malformed(503, raw, {"overall_status": "unknown", **fresh}) is None
    assert malformed(200, raw, {"overall_status": "unknown", **fresh}) == "unknown with HTTP 200"
    assert malformed(200, raw, {}) == "overall_status is None"
    assert (
        malformed(503, raw, {"overall_status": "unknown", "age_ms": 3, "max_age_ms": 2})
        == "3 ms old, 2 at most"
    )
    late = b" " * 512 + raw
    assert (
        malformed(503, late, {"overall_status": "unknown", **fresh})
        == "overall_status comes after 512 bytes"
    )


def test_sleepers_end_with_their_block():
    with sleepers(7) as count:
        assert count == 7
        mine = _sleepers_below(psutil.Process())
        assert len(mine) == 7 and all(map(_runs, mine))
    assert not any(process.is_running() for process in mine)


def test_sleepers_end_when_their_owner_is_killed():
    owner = subprocess.Popen(
        [sys.executable, "-c", STARTS_SLEEPERS],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdin and owner.stdout
    assert owner.stdout.readline() == b"up\n"
    orphans = _sleepers_below(psutil.Process(owner.pid))
    assert len(orphans) == 5 and all(map(_runs, orphans))
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    wait_until(lambda: not any(map(_runs, orphans)), "sleepers outlive their owner")


def test_polls_count_answers_and_missing_answers():
    async def answered_and_not() -> tuple[int, int, list[int]]:
        port = free_port()
        server = await asyncio.start_server(_answer, "127.0.0.1", port)
        async with server:
            texts: list[str] = []
            polls = await poll(port, "/", 50, 0.2, lambda _, body: texts.append(body["text"]))
            served = await fairness(port, "/", 3, 0.2)
        assert polls.statuses == {200: 10}
        assert texts == ["x"] * 10
        silent = await poll(port, "/", 50, 0.1)
        return len(polls.seconds), silent.unanswered, served

    answered, unanswered, served = asyncio.run(answered_and_not())
    assert (answered, unanswered) == (10, 5)
    assert all(count > 1 for count in served)


def test_figures_are_medians_with_quartiles_and_fitted_lines():
    assert spread([1, 2, 3, 4, 5]) == "3.00 [2.00 4.00]"
    assert spread([]) == "-"
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([], 0.99) == 0
    assert fitted_slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert str(Aim("speed", ">= 2", "1", met=False)) == "MISS  speed: 1  (aim: >= 2)"


def test_the_peers_use_the_same_versions_as_we_do():
    ours, theirs = (
        _pins(ROOT / "constraints.txt"),
        _pins(ROOT / "benchmarks/health/requirements.txt"),
    )
    for name in ("Flask", "Werkzeug", "granian", "psutil"):
        assert theirs[name] == ours[name]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.read(1024):
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"text": "x"}')
        await writer.drain()
        if b"close" in head:
            break
    writer.close()


def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_-]+)==(\S+)$", path.read_text(), re.MULTILINE))


def _sleepers_below(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if child.name() == "cat"]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""wrk, the load generator: each connection sends its next request after the
answer to the last.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.health.servers import Server

_SCRIPT = Path(__file__).with_name("wrk.lua")
_TIMEOUT = "10s"  # beyond it wrk keeps no latencies


@dataclass(frozen=True)
class Slice:
    """The result of one run of wrk against one server."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int  # answered, with another status than 2xx or 3xx
    lost: int  # broken connections
    late: int  # not answered within ten seconds
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.answers / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU of the server for each answer."""
        return 1e6 * self.cpu_seconds / max(1, self.answers)


def require() -> None:
    if shutil.which("wrk") is None:
        advice = "apt install wrk (macOS: brew install wrk), then the same again"
        raise SystemExit(f"wrk, the load generator, is not installed\nnext: {advice}")


def press(server: Server, connections: int, seconds: int) -> Slice:
    """Send requests over this many kept-alive connections."""
    used = server.cpu_seconds()
    heard = finish(start(f"http://127.0.0.1:{server.port}{server.path}", connections, seconds))
    return replace(heard, cpu_seconds=server.cpu_seconds() - used)


def start(url: str, connections: int, seconds: int, *arguments: str) -> subprocess.Popen[str]:
    """Start wrk; with a key and a word it posts patches whose ids begin with
    the word.
    """
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        _TIMEOUT,
        "-s",
        str(_SCRIPT),
        url,
    ]
    return subprocess.Popen(
        [*command, *(("--", *arguments) if arguments else ())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Slice:
    """Wait for the end of wrk; raises SystemExit with its error output when it
    failed.
    """
    output, _ = process.communicate()
    last = output.strip().splitlines()[-1] if output.strip() else ""
    if not last.startswith("{"):
        raise SystemExit(f"wrk failed: {output.strip()[-300:]}")
    counted = json.loads(last)
    return Slice(
        answers=counted["requests"],
        seconds=counted["microseconds"] / 1e6,
        p50_ms=counted["p50"] / 1e3,
        p99_ms=counted["p99"] / 1e3,
        refused=counted["refused"],
        lost=counted["lost"],
        late=counted["late"],
    )

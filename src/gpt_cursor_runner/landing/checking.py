"""Running the owner's checks: argument lists, a deadline, a process group killed whole, output bounded and kept."""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gpt_cursor_runner.landing.sandbox import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace

_TICK_SECONDS = 0.2
_GRACE_SECONDS = 2.0
_CHUNK_BYTES = 65_536
KEPT_BYTES = 1 << 20

Verdict = Literal["passed", "failed", "timed_out", "not_started"]


@dataclass(frozen=True)
class CheckOrder:
    """One check as the owner wrote it."""

    name: str
    command: tuple[str, ...]
    timeout_seconds: float


@dataclass(frozen=True)
class CheckResult:
    """What was observed of one check. `output_sha256` is over all it printed, kept or not."""

    name: str
    command: tuple[str, ...]
    verdict: Verdict
    exit_code: int | None
    seconds: float
    tier: str
    output_bytes: int
    output_sha256: str
    tail: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_check(
    order: CheckOrder, workspace: Workspace, sandbox: Sandbox, log: Path, tick: Callable[[], None]
) -> CheckResult:
    """Run one check to its end, deadline or interruption; nothing it started is alive afterwards.

    `tick` is called several times a second; what it raises ends the check and is passed on.
    """
    command, start_in = sandbox.command(order.command, workspace)
    output = _Output()
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            cwd=start_in,
            env=sandbox.environment(workspace),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as cannot:
        output.add(f"{order.command[0]}: {cannot.strerror}\n".encode())
        return _result(order, "not_started", None, 0.0, sandbox.tier, output, log)
    try:
        workspace.note_group(process.pid)
        in_time = _watch(process, output, began + order.timeout_seconds, tick)
    finally:
        _end(process, output)
    verdict: Verdict = "timed_out" if not in_time else "passed" if process.returncode == 0 else "failed"
    return _result(order, verdict, process.returncode, time.monotonic() - began, sandbox.tier, output, log)


def checks_digest(results: Sequence[CheckResult]) -> str:
    """SHA-256 over what was run and how it ended, for the commit's trailer."""
    facts = [[one.name, list(one.command), one.verdict, one.exit_code, one.tier] for one in results]
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


class _Output:
    """The first and the last half of what is kept; the middle of a flood is counted, not stored."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._hash = hashlib.sha256()
        self.size = 0

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._hash.update(chunk)
        room = KEPT_BYTES // 2 - len(self._head)
        self._head += chunk[:room] if room > 0 else b""
        rest = chunk[max(room, 0) :]
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
        while self._tail_bytes - len(self._tail[0] if self._tail else b"") > KEPT_BYTES // 2:
            self._tail_bytes -= len(self._tail.popleft())

    def kept(self) -> bytes:
        left_out = self.size - len(self._head) - self._tail_bytes
        gap = f"\n[… {left_out} bytes left out …]\n".encode() if left_out else b""
        return bytes(self._head) + gap + b"".join(self._tail)

    def digest(self) -> str:
        return self._hash.hexdigest()


def _watch(process: subprocess.Popen[bytes], output: _Output, deadline: float, tick: Callable[[], None]) -> bool:
    """Read until the process ends or the deadline passes; whether it ended in time."""
    if process.stdout is None:
        return True
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        next_tick = 0.0
        while process.poll() is None:
            now = time.monotonic()
            if now >= deadline:
                return False
            if now >= next_tick:
                tick()
                next_tick = now + _TICK_SECONDS
            if selector.select(timeout=_TICK_SECONDS / 4) and not _drain(process, output):
                # The pipe was closed, yet the process lives on: wait for it, or for the deadline.
                selector.unregister(process.stdout)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK_SECONDS / 4)
    return True


def _drain(process: subprocess.Popen[bytes], output: _Output) -> bool:
    """Take what is there now; False when the pipe is at its end."""
    if process.stdout is None:
        return False
    try:
        chunk = process.stdout.read(_CHUNK_BYTES)
    except BlockingIOError:
        return True
    if chunk is None:
        return True
    output.add(chunk)
    return bool(chunk)


def _end(process: subprocess.Popen[bytes], output: _Output) -> None:
    """End the whole group, also what the check left behind, and read what is left in the pipe."""
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    _signal(process.pid, signal.SIGKILL)
    process.wait()
    give_up_at = time.monotonic() + _GRACE_SECONDS
    while process.stdout is not None and time.monotonic() < give_up_at:
        before = output.size
        if not _drain(process, output) or output.size == before:
            break
    if process.stdout is not None:
        process.stdout.close()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _result(
    order: CheckOrder, verdict: Verdict, code: int | None, seconds: float, tier: str, output: _Output, log: Path
) -> CheckResult:
    kept = output.kept()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(kept)
    tail = kept[-4000:].decode(errors="replace")
    return CheckResult(
        order.name, order.command, verdict, code, round(seconds, 3), tier, output.size, output.digest(), tail
    )

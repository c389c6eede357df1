"""Running the owner's checks: argument lists, a deadline, a process group
killed whole, output bounded and kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

from gpt_cursor_runner.landing.sandbox import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.outcome import WorldFailed

_TICK_SECONDS = 0.2
_GRACE_SECONDS = 2.0
_CHUNK_BYTES = 65_536
KEPT_BYTES = 1 << 20
_TAIL_BYTES = 4000
# Escape sequences and control characters: the tail is shown to people, given to
# models and stored as text.
_UNPRINTABLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Verdict = Literal["passed", "failed", "timed_out", "not_started"]


@dataclass(frozen=True)
class CheckOrder:
    """One check as the owner wrote it."""

    name: str
    command: tuple[str, ...]
    timeout_seconds: float


@dataclass(frozen=True)
class CheckResult:
    """What was observed of one check. `output_sha256` is over all it printed,
    kept or not.
    """

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
    """Run one check to its end, deadline or interruption; nothing it started is
    alive afterwards.

    Without a sandbox one thing can escape: a process that left the group with
    setsid. In bubblewrap nothing can. `tick` is called several times a second;
    what it raises ends the check and is passed on. Raises WorldFailed when the
    sandbox itself does not start.
    """
    output = _Output()
    began = time.monotonic()
    process = _start(order, workspace, sandbox, output)
    if process is None:
        return _result(order, "not_started", None, 0.0, sandbox.tier, output, log)
    try:
        workspace.note_group(process.pid)
        in_time = _watch(process, output, began + order.timeout_seconds, tick)
    finally:
        _end(process, output)
    seconds = time.monotonic() - began
    verdict: Verdict = (
        "timed_out" if not in_time else "passed" if process.returncode == 0 else "failed"
    )
    said = output.kept()[:500] if sandbox.tier != "none" and verdict == "failed" else b""
    if said.startswith(b"bwrap: execvp "):
        return _result(order, "not_started", None, seconds, sandbox.tier, output, log)
    if said.startswith(b"bwrap: "):
        # A check may print this itself, and only has itself tried again for it.
        raise _sandbox_failed(said.decode(errors="replace").splitlines()[0])
    return _result(order, verdict, process.returncode, seconds, sandbox.tier, output, log)


def checks_digest(results: Sequence[CheckResult]) -> str:
    """SHA-256 over what was run and how it ended, for the commit's trailer."""
    facts = [[one.name, list(one.command), one.verdict, one.exit_code, one.tier] for one in results]
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


class _Output:
    """The first and the last half of what is kept; the middle of a flood is
    counted, not stored.
    """

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


def _start(
    order: CheckOrder, workspace: Workspace, sandbox: Sandbox, output: _Output
) -> subprocess.Popen[bytes] | None:
    """The check in a process group of its own, or None with the reason in
    `output`.
    """
    try:
        command, start_in = sandbox.command(order.command, workspace)
        return subprocess.Popen(
            command,
            cwd=start_in,
            env=sandbox.environment(workspace),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as cannot:
        if cannot.filename == "bwrap":
            raise _sandbox_failed(str(cannot.strerror)) from cannot
        output.add(f"{order.command[0]}: {cannot.strerror}\n".encode())
        return None


def _watch(
    process: subprocess.Popen[bytes], output: _Output, deadline: float, tick: Callable[[], None]
) -> bool:
    """Read until the process ends or the deadline passes; whether it ended in
    time.
    """
    pipe = _pipe(process)
    os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        next_tick = 0.0
        while process.poll() is None:
            now = time.monotonic()
            if now >= deadline:
                return False
            if now >= next_tick:
                tick()
                next_tick = now + _TICK_SECONDS
            if selector.select(timeout=_TICK_SECONDS / 4) and not _drain(pipe, output):
                # The pipe was closed, yet the process lives on: wait for it, or
                # for the deadline.
                selector.unregister(pipe)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK_SECONDS / 4)
    return True


def _drain(pipe: IO[bytes], output: _Output) -> bool:
    """Take what is there now; False when the pipe is at its end."""
    chunk: bytes | None = pipe.read(_CHUNK_BYTES)
    output.add(chunk or b"")
    return chunk != b""


def _end(process: subprocess.Popen[bytes], output: _Output) -> None:
    """End the whole group, also what the check left behind, and read what is
    left in the pipe.

    The pipe is at its end when the last of them is gone, which in bubblewrap is
    a moment after our own child.
    """
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    _signal(process.pid, signal.SIGKILL)
    process.wait()
    give_up_at = time.monotonic() + _GRACE_SECONDS
    with _pipe(process) as pipe, selectors.DefaultSelector() as selector:
        os.set_blocking(pipe.fileno(), False)
        selector.register(pipe, selectors.EVENT_READ)
        while (left := give_up_at - time.monotonic()) > 0:
            if selector.select(left) and not _drain(pipe, output):
                break


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("the check was started without a pipe")
    return process.stdout


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(
        ProcessLookupError, PermissionError
    ):  # macOS refuses where all that is left of a group are zombies
        os.killpg(group, number)


def _sandbox_failed(reason: str) -> WorldFailed:
    return WorldFailed(
        "sandbox_failed",
        f"the sandbox did not start: {reason}",
        "See `gcr doctor`, and whether every path of sandbox_read_only is there.",
    )


def _result(
    order: CheckOrder,
    verdict: Verdict,
    code: int | None,
    seconds: float,
    tier: str,
    output: _Output,
    log: Path,
) -> CheckResult:
    kept = output.kept()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(kept)
    tail = _UNPRINTABLE.sub("", kept[-_TAIL_BYTES:].decode(errors="replace"))
    return CheckResult(
        order.name,
        order.command,
        verdict,
        code,
        round(seconds, 3),
        tier,
        output.size,
        output.digest(),
        tail,
    )

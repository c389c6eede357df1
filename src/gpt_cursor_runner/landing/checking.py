"""Runs the owner's checks: argument lists, a deadline, bounded output that is
kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt_cursor_runner.config import Check
from gpt_cursor_runner.landing.sandbox import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.system import processes

KEPT_BYTES = 1 << 20
_TAIL_BYTES = 4000
# Escape sequences and control characters: the tail is shown to people, given to
# models and stored as text.
_UNPRINTABLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

CheckStatus = Literal["passed", "failed", "timed_out", "not_started"]


@dataclass(frozen=True)
class CheckResult:
    """The observed end of one check. `output_sha256` is over all of its output,
    kept or not.
    """

    name: str
    command: tuple[str, ...]
    status: CheckStatus
    exit_code: int | None
    seconds: float
    tier: str
    output_bytes: int
    output_sha256: str
    tail: str

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "command": self.command,
            "verdict": self.status,
            "exit_code": self.exit_code,
            "seconds": self.seconds,
            "tier": self.tier,
            "output_bytes": self.output_bytes,
            "output_sha256": self.output_sha256,
            "tail": self.tail,
        }


def run_check(
    check: Check, workspace: Workspace, sandbox: Sandbox, log: Path, tick: Callable[[], None]
) -> CheckResult:
    """Run one check to its end, deadline or interruption; no process that it
    started is alive afterwards.

    Without a sandbox one process can escape: one that left the group with
    setsid. In bubblewrap none can. `tick` is called several times a second; its
    exceptions end the check and are passed on. Raises WorldFailed when the
    sandbox itself does not start.
    """
    output = _Output()
    began = time.monotonic()
    try:
        child = _start(check, workspace, sandbox)
    except OSError as error:
        if error.filename == "bwrap":
            raise _sandbox_failed(str(error.strerror)) from error
        output.add(f"{check.command[0]}: {error.strerror}\n".encode())
        return _result(check, "not_started", None, 0.0, sandbox.tier, output, log)
    try:
        workspace.note_group(child.pid)
    except OSError:
        processes.kill_group(child)
        raise
    in_time = processes.follow(child, output.add, check.timeout_seconds, tick)
    seconds = time.monotonic() - began
    status = _status(child.returncode, in_time)
    if sandbox.tier != "none" and status == "failed":
        trouble = _trouble_of_sandbox(output)
        if trouble.startswith("bwrap: execvp "):
            return _result(check, "not_started", None, seconds, sandbox.tier, output, log)
        if trouble:
            raise _sandbox_failed(trouble)
    return _result(check, status, child.returncode, seconds, sandbox.tier, output, log)


def checks_digest(results: Sequence[CheckResult]) -> str:
    """SHA-256 over the commands and how they ended, for the commit's trailer."""
    facts = []
    for result in results:
        facts.append(
            [result.name, list(result.command), result.status, result.exit_code, result.tier]
        )
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


class _Output:
    """Keeps the first and the last half of what is kept; the middle of a flood
    is counted and hashed.
    """

    def __init__(self) -> None:
        self._bounded = processes.BoundedOutput(KEPT_BYTES // 2, KEPT_BYTES // 2)
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self._bounded.add(chunk)
        self._hash.update(chunk)

    @property
    def size(self) -> int:
        return self._bounded.size

    def kept(self) -> bytes:
        return self._bounded.kept()

    def digest(self) -> str:
        return self._hash.hexdigest()


def _start(check: Check, workspace: Workspace, sandbox: Sandbox) -> processes.Child:
    command, directory = sandbox.command(check.command, workspace)
    environment = sandbox.environment(workspace)
    return processes.start(
        command, environment=environment, directory=directory, stderr=subprocess.STDOUT
    )


def _status(exit_code: int, in_time: bool) -> CheckStatus:
    if not in_time:
        return "timed_out"
    if exit_code == 0:
        return "passed"
    return "failed"


def _trouble_of_sandbox(output: _Output) -> str:
    """The message of a bubblewrap that did not get as far as the check, or "".

    A check can print this itself, and only causes a retry of its own patch.
    """
    lines = output.kept()[:500].decode(errors="replace").splitlines()
    if lines and lines[0].startswith("bwrap: "):
        return lines[0]
    return ""


def _sandbox_failed(reason: str) -> WorldFailed:
    return WorldFailed(
        "sandbox_failed",
        f"the sandbox did not start: {reason}",
        "Run `gcr doctor`, and check that every path of sandbox_read_only exists.",
    )


def _result(
    check: Check,
    status: CheckStatus,
    exit_code: int | None,
    seconds: float,
    tier: str,
    output: _Output,
    log: Path,
) -> CheckResult:
    kept = output.kept()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(kept)
    return CheckResult(
        name=check.name,
        command=check.command,
        status=status,
        exit_code=exit_code,
        seconds=round(seconds, 3),
        tier=tier,
        output_bytes=output.size,
        output_sha256=output.digest(),
        tail=_UNPRINTABLE.sub("", kept[-_TAIL_BYTES:].decode(errors="replace")),
    )

"""Runs the owner's checks, and keeps their output."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt_cursor_runner.config import Check
from gpt_cursor_runner.landing.counting import count_tests
from gpt_cursor_runner.landing.sandbox.ended import EndStatus
from gpt_cursor_runner.landing.sandbox.model import Confined, Mount, Sandbox
from gpt_cursor_runner.landing.sandbox.running import run_command
from gpt_cursor_runner.landing.sandbox.usage import Limit
from gpt_cursor_runner.landing.workspace import Workspace

_TAIL_BYTES = 4000
# Escape sequences and control characters: the tail is shown to people, given to
# models and stored as text.
_UNPRINTABLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

CheckStatus = Literal[EndStatus, "no_tests"]


@dataclass(frozen=True)
class CheckResult:
    """The observed end of one check. `output_sha256` is over all of its output,
    kept or not; `tests` is how many tests passed, if a known runner ran them.
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
    required: bool = True
    limit: Limit | None = None
    tests: int | None = None

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
            "required": self.required,
            "limit": self.limit,
            "tests": self.tests,
        }


def run_check(
    check: Check,
    workspace: Workspace,
    sandbox: Sandbox,
    log: Path,
    tick: Callable[[], None],
    mounts: Sequence[Mount] = (),
) -> CheckResult:
    """Run one check to its end and write its output to `log`; `run_command`
    describes the rest.
    """
    ended = run_command(sandbox, Confined(check, tuple(mounts)), workspace, tick)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(ended.output)
    tests = count_tests(ended.output)
    status: CheckStatus = ended.status
    if status == "passed" and tests == 0:
        status = "no_tests"
    return CheckResult(
        name=check.name,
        command=check.command,
        status=status,
        exit_code=ended.exit_code,
        seconds=ended.seconds,
        tier=sandbox.tier,
        output_bytes=ended.output_bytes,
        output_sha256=ended.output_sha256,
        tail=readable_tail(ended.output),
        required=check.required,
        limit=ended.limit,
        tests=tests,
    )


def readable_tail(output: bytes) -> str:
    """The end of an output as printable text."""
    return _UNPRINTABLE.sub("", output[-_TAIL_BYTES:].decode(errors="replace"))


def checks_digest(results: Sequence[CheckResult]) -> str:
    """SHA-256 over the commands and how they ended, for the commit's trailer."""
    facts = []
    for result in results:
        facts.append(
            [result.name, list(result.command), result.status, result.exit_code, result.tier]
        )
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()

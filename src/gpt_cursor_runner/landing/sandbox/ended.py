"""How a command ended, and what is kept of its output."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gpt_cursor_runner.landing.redacting import redact
from gpt_cursor_runner.landing.sandbox.usage import Limit
from gpt_cursor_runner.system import processes

KEPT_BYTES = 1 << 20

EndStatus = Literal["passed", "failed", "timed_out", "over_limit", "not_started"]


@dataclass(frozen=True)
class Ended:
    """How a command ended. `output` is what is kept of both its streams;
    `output_sha256` is over all of them.
    """

    status: EndStatus
    exit_code: int | None
    seconds: float
    output: bytes
    output_bytes: int
    output_sha256: str
    limit: Limit | None = None


class Output:
    """Keeps the first and the last half of what is kept; the middle of a flood
    is counted and hashed. Secrets of the environment are taken out of what is
    kept, also those that came in two chunks.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._bounded = processes.BoundedOutput(KEPT_BYTES // 2, KEPT_BYTES // 2)
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self._bounded.add(chunk)
        self._hash.update(chunk)

    def kept(self) -> bytes:
        return redact(self._bounded.kept(), self._environment)

    def ended(
        self, status: EndStatus, exit_code: int | None, seconds: float, limit: Limit | None = None
    ) -> Ended:
        return Ended(
            status=status,
            exit_code=exit_code,
            seconds=round(seconds, 3),
            output=self.kept(),
            output_bytes=self._bounded.size,
            output_sha256=self._hash.hexdigest(),
            limit=limit,
        )

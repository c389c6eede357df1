"""The statuses that are true at a moment. Pure: moments are arguments, in
monotonic seconds.

Until a fault must be reported, `healthy` is still true; for two intervals after
its end, so is the status of the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks.health import faults
from tests.running import Installation

HEALTHY, DEGRADED, UNKNOWN = "healthy", "degraded", "unknown"
RECOVERY_SECONDS = 10.0  # two intervals of the slowest check, the filesystem's
_WORDS = (HEALTHY, DEGRADED, UNKNOWN, "error")


@dataclass(frozen=True)
class Trouble:
    """A fault and the statuses that report it. A fault that ends by itself need not be
    reported.
    """

    name: str
    strike: Callable[[Installation], AbstractContextManager[None]]
    words: frozenset[str]
    reported_within_seconds: float | None
    denies_storage: bool = False


def _trouble(
    strike: Any,  # noqa: ANN401  a function with a name
    *words: str,
    reported_within: float | None,
    storage: bool = False,
) -> Trouble:
    return Trouble(strike.__name__, strike, frozenset(words), reported_within, storage)


TROUBLES = (
    _trouble(faults.runner_killed, DEGRADED, reported_within=None),
    _trouble(faults.runner_stopped, DEGRADED, reported_within=10),
    _trouble(faults.helper_killed, UNKNOWN, reported_within=None),
    _trouble(faults.disk_hung, UNKNOWN, reported_within=10),
    _trouble(faults.patches_a_file, UNKNOWN, reported_within=10, storage=True),
    _trouble(faults.patches_missing, UNKNOWN, reported_within=10, storage=True),
    # The runner cannot write either, so that it may be late beside.
    _trouble(faults.ledger_locked, UNKNOWN, DEGRADED, reported_within=8, storage=True),
)


@dataclass(frozen=True)
class Stage:
    """The actual state: no fault, a fault since `began_at`, or one that ended at
    `ended_at`.
    """

    trouble: Trouble | None = None
    began_at: float = 0.0
    ended_at: float | None = None

    def allows(self, word: str, moment: float) -> bool:
        if self.trouble is None:
            return word == HEALTHY
        if self.ended_at is not None:
            return word == HEALTHY or (
                word in self.trouble.words and moment - self.ended_at <= RECOVERY_SECONDS
            )
        limit = self.trouble.reported_within_seconds
        return word in self.trouble.words or (
            word == HEALTHY and (limit is None or moment - self.began_at <= limit)
        )


def malformed(status: int, raw: bytes, body: Mapping[str, Any]) -> str | None:
    """The reason why an answer is malformed, or None."""
    word = body.get("overall_status")
    if word not in _WORDS:
        return f"overall_status is {word!r}"
    if status != (200 if word in (HEALTHY, DEGRADED) else 503):
        return f"{word} with HTTP {status}"
    if b"overall_status" not in raw[:512]:
        return "overall_status comes after 512 bytes"
    if body["age_ms"] > body["max_age_ms"]:
        return f"{body['age_ms']} ms old, {body['max_age_ms']} at most"
    return None

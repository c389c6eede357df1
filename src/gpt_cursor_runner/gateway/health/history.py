"""`GET /health/history`: what changed and when, how much of the time all was
well, a strip of the last hour or day.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.health.view import utc
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.health.monitor.model import SEVERITY, Status
from gpt_cursor_runner.ledger.history import Flip
from gpt_cursor_runner.ledger.observations import Observation, Uptime
from gpt_cursor_runner.patch.outcome import Fault
from gpt_cursor_runner.system.clock import parse_rfc3339

SCHEMA = "health-history/1"
MAX_LIMIT = 500
_LIMIT = 100
# Reading takes a thread while it lasts; a ledger that hangs must not take them all.
_READERS = 2
_STRIPS = {"minute": (60, 60), "hour": (3600, 24)}
# In the order in which an observation counts its seconds.
_COUNTED = (Status.OK, Status.WARN, Status.FAIL, Status.UNKNOWN)


class Past(Protocol):
    """What the ledger offers to whoever asks for the history."""

    def flips(
        self,
        subject: str | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Flip]: ...
    def observations(self, length: int, since: float) -> list[Observation]: ...
    def uptime(self, now: float) -> dict[str, dict[str, Uptime]]: ...


@dataclass(frozen=True)
class Wanted:
    """What of the history is asked for."""

    check: str | None = None
    since: float | None = None
    before: int | None = None
    limit: int = _LIMIT
    by: str = "minute"


@dataclass(frozen=True)
class HealthHistoryApi:
    """Answers from the ledger, for few at once."""

    past: Past
    clock: Callable[[], float]
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_READERS))

    def show(self, query: Mapping[str, str]) -> bytes:
        """The answer's body; raise a 422 or 503 Problem when there can be none."""
        wanted = read_query(query)
        if not self.places.acquire(blocking=False):
            detail = "Others are reading the history. Ask again."
            raise Problem(503, "busy", detail, headers={"Retry-After": "1"})
        try:
            return json.dumps(self._body(wanted)).encode()
        except SQLAlchemyError as trouble:
            detail = "The ledger cannot be read now. Try again."
            raise Problem(
                503, "ledger_unavailable", detail, headers={"Retry-After": "5"}
            ) from trouble
        finally:
            self.places.release()

    def _body(self, wanted: Wanted) -> dict[str, Any]:
        now, one = self.clock(), wanted.check
        length, count = _STRIPS[wanted.by]
        last_whole_minute = int(now) - 60  # the one under way is written down when it is over
        first = (last_whole_minute // length - count + 1) * length
        flips = self.past.flips(one, wanted.since, wanted.before, wanted.limit)
        uptime = {name: of for name, of in self.past.uptime(now).items() if one in (None, name)}
        seen = self.past.observations(length, first)
        return {
            "schema": SCHEMA,
            "flips": [_flip(flip) for flip in flips],
            "before": flips[-1].seq if len(flips) == wanted.limit else None,
            "uptime": {
                name: {label: _uptime(up) for label, up in of.items()}
                for name, of in uptime.items()
            },
            "strip": {
                "seconds": length,
                "since": utc(first),
                "checks": {
                    name: of
                    for name, of in strips(seen, first, length, count).items()
                    if one in (None, name)
                },
            },
        }


def read_query(query: Mapping[str, str]) -> Wanted:
    """The query's values; raise a 422 Problem that names every one that cannot
    be used.
    """
    faults: list[Fault] = []
    read: dict[str, Any] = {}
    for name, (reads, should_be) in _READ.items():
        if name in query:
            read[name] = reads(query[name])
            if read[name] is None:
                faults.append(
                    Fault(
                        "bad_value", f"{name} is not {should_be}", f"Give {should_be}.", f"/{name}"
                    )
                )
    if faults:
        first = faults[0]
        raise Problem(422, "bad_query", f"{first.message}. {first.next_step}", faults)
    return Wanted(**read)


def strips(
    seen: Sequence[Observation], first: float, length: int, count: int
) -> dict[str, list[Status | None]]:
    """For each subject the worst state of every minute or hour, the oldest
    first; None where nobody looked.
    """
    found: dict[str, list[Status | None]] = {}
    for observation in seen:
        place = int(observation.start - first) // length
        for subject, seconds in observation.seconds.items():
            strip = found.setdefault(subject, [None] * count)
            if 0 <= place < count:
                strip[place] = _worst(seconds)
    return found


def _worst(seconds: Sequence[float]) -> Status | None:
    had = [status for status, lasted in zip(_COUNTED, seconds, strict=True) if lasted > 0]
    return max(had, key=SEVERITY.__getitem__, default=None)


def _flip(flip: Flip) -> dict[str, Any]:
    before = (
        None
        if flip.before_status is None
        else {"status": flip.before_status, "code": flip.before_code}
    )
    return {
        "seq": flip.seq,
        "at": utc(flip.at),
        "check": flip.subject,
        "status": flip.status,
        "code": flip.code,
        "before": before,
        "incident_id": flip.incident_id,
        "instance_id": flip.instance_id,
    }


def _uptime(up: Uptime) -> dict[str, float | None]:
    names = ("ok_seconds", "warn_seconds", "fail_seconds", "unknown_seconds", "unobserved_seconds")
    ratio = None if up.ratio is None else round(up.ratio, 6)
    return {"ratio": ratio, **{name: round(getattr(up, name), 1) for name in names}}


def _name(text: str) -> str | None:
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) else None


def _positive(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) and int(text) > 0 else None


def _limit(text: str) -> int | None:
    number = _positive(text)
    return number if number is not None and number <= MAX_LIMIT else None


def _by(text: str) -> str | None:
    return text if text in _STRIPS else None


def _moment(text: str) -> float | None:
    """Epoch seconds, from themselves or from a moment with its offset."""
    try:
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
            return float(text)
        return parse_rfc3339(text)
    except ValueError:
        return None


_READ: dict[str, tuple[Callable[[str], object], str]] = {
    "check": (_name, "the name of a check, like runner, or overall"),
    "since": (_moment, "epoch seconds, or a moment like 2026-08-01T12:00:00Z"),
    "before": (_positive, "the member 'before' of an earlier answer"),
    "limit": (_limit, f"a whole number from 1 to {MAX_LIMIT}"),
    "by": (_by, "minute or hour"),
}

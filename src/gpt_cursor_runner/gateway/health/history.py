"""`GET /health/history`: the latest flips, the uptime, and a strip with the
worst state of each minute of the last hour, or of each hour of the last day.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.health.view import utc
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.health.monitor.model import SEVERITY, CheckStatus
from gpt_cursor_runner.ledger.alerts import AlertStore, Flip
from gpt_cursor_runner.ledger.uptime import Observation, Uptime, UptimeStore
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.system.clock import parse_rfc3339

SCHEMA = "health-history/1"
MAX_LIMIT = 500
_DEFAULT_LIMIT = 100
# A read holds a thread of the server; a ledger that hangs must not hold all of
# them.
_CONCURRENT_READS = 2
# The states whose seconds an observation counts, in its order.
_OBSERVED_STATES = (CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL, CheckStatus.UNKNOWN)

_Strip = list[CheckStatus | None]


class _StripSize(NamedTuple):
    """`periods` of `seconds` each."""

    seconds: int
    periods: int


_STRIP_SIZES = {"minute": _StripSize(60, 60), "hour": _StripSize(3600, 24)}


@dataclass(frozen=True)
class HistoryQuery:
    """The query of a request. `since` is epoch seconds, `before` the `seq` of a
    flip, `by` minute or hour.
    """

    check: str | None = None
    since: float | None = None
    before: int | None = None
    limit: int = _DEFAULT_LIMIT
    by: str = "minute"


class HealthHistoryApi:
    """Reads the history from the ledger, for a few requests at a time."""

    def __init__(self, alerts: AlertStore, uptime: UptimeStore, clock: Callable[[], float]) -> None:
        self._alerts = alerts
        self._uptime = uptime
        self._clock = clock
        self._reads = threading.Semaphore(_CONCURRENT_READS)

    def body(self, parameters: Mapping[str, str]) -> bytes:
        """The body as JSON. Raises a Problem: 422 for a bad query, 503 while
        too many requests read or the ledger cannot be read.
        """
        query = parse_query(parameters)
        if not self._reads.acquire(blocking=False):
            raise Problem(
                503,
                "busy",
                "Too many requests are reading the history.",
                "Send the request again.",
                headers={"Retry-After": "1"},
            )
        try:
            return json.dumps(self._read(query)).encode()
        except SQLAlchemyError as error:
            raise Problem(
                503,
                "ledger_unavailable",
                "The ledger cannot be read now.",
                "Send the request again.",
                headers={"Retry-After": "5"},
            ) from error
        finally:
            self._reads.release()

    def _read(self, query: HistoryQuery) -> dict[str, Any]:
        now = self._clock()
        flips = self._alerts.flips(query.check, query.since, query.before, query.limit)
        # A page that is not full is the last one.
        before = flips[-1].seq if len(flips) == query.limit else None
        return {
            "schema": SCHEMA,
            "flips": [_flip_body(flip) for flip in flips],
            "before": before,
            "uptime": self._uptime_body(query.check, now),
            "strip": self._strip_body(query.check, _STRIP_SIZES[query.by], now),
        }

    def _uptime_body(self, check: str | None, now: float) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for subject, windows in self._uptime.uptime(now).items():
            if check in (None, subject):
                body[subject] = {label: _window_body(uptime) for label, uptime in windows.items()}
        return body

    def _strip_body(self, check: str | None, size: _StripSize, now: float) -> dict[str, Any]:
        # The minute under way is not in the ledger yet.
        last_complete = int(now) - 60
        start = (last_complete // size.seconds - size.periods + 1) * size.seconds
        observations = self._uptime.observations(size.seconds, start)
        by_subject = strips(observations, start, size.seconds, size.periods)
        checks = {
            subject: strip for subject, strip in by_subject.items() if check in (None, subject)
        }
        return {"seconds": size.seconds, "since": utc(start), "checks": checks}


def parse_query(parameters: Mapping[str, str]) -> HistoryQuery:
    """Parse the query; raises a 422 Problem that names every bad value."""
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, (parse, expected) in _PARAMETERS.items():
        if name not in parameters:
            continue
        values[name] = parse(parameters[name])
        if values[name] is None:
            message = f"{name} is not {expected}"
            faults.append(Fault("bad_value", message, f"Give {expected}.", f"/{name}"))
    if faults:
        first = faults[0]
        raise Problem(422, "bad_query", f"{first.message}.", first.next_step, faults=faults)
    return HistoryQuery(**values)


def strips(
    observations: Sequence[Observation], start: float, length: int, count: int
) -> dict[str, _Strip]:
    """By subject, the worst state of each of `count` minutes or hours, the
    oldest first; None where nothing was observed.
    """
    result: dict[str, _Strip] = {}
    for observation in observations:
        index = int(observation.start - start) // length
        for subject, seconds in observation.seconds.items():
            strip = result.setdefault(subject, [None] * count)
            # The clock may have been set back: a minute may be in the future.
            if 0 <= index < count:
                strip[index] = _worst_state(seconds)
    return result


def _worst_state(seconds: Sequence[float]) -> CheckStatus | None:
    states = zip(_OBSERVED_STATES, seconds, strict=True)
    observed = [status for status, duration in states if duration > 0]
    return max(observed, key=SEVERITY.__getitem__, default=None)


def _flip_body(flip: Flip) -> dict[str, Any]:
    before = None
    if flip.before_status is not None:
        before = {"status": flip.before_status, "code": flip.before_code}
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


def _window_body(uptime: Uptime) -> dict[str, float | None]:
    ratio = None
    if uptime.ratio is not None:
        ratio = round(uptime.ratio, 6)
    return {
        "ratio": ratio,
        "ok_seconds": round(uptime.ok_seconds, 1),
        "warn_seconds": round(uptime.warn_seconds, 1),
        "fail_seconds": round(uptime.fail_seconds, 1),
        "unknown_seconds": round(uptime.unknown_seconds, 1),
        "unobserved_seconds": round(uptime.unobserved_seconds, 1),
    }


def _parse_name(text: str) -> str | None:
    # Not compared with the checks of today: the history has those of the past.
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        return text
    return None


def _parse_positive(text: str) -> int | None:
    # At most 18 digits, so that the number fits SQLite's integers.
    if not re.fullmatch(r"[0-9]{1,18}", text):
        return None
    return int(text) or None


def _parse_limit(text: str) -> int | None:
    number = _parse_positive(text)
    if number is None or number > MAX_LIMIT:
        return None
    return number


def _parse_by(text: str) -> str | None:
    return text if text in _STRIP_SIZES else None


def _parse_moment(text: str) -> float | None:
    """Epoch seconds, from a number or from RFC 3339 with an offset."""
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


_PARAMETERS: dict[str, tuple[Callable[[str], object], str]] = {
    "check": (_parse_name, "the name of a check, like runner, or overall"),
    "since": (_parse_moment, "epoch seconds, or a moment like 2026-08-01T12:00:00Z"),
    "before": (_parse_positive, "the member 'before' of an earlier answer"),
    "limit": (_parse_limit, f"a whole number from 1 to {MAX_LIMIT}"),
    "by": (_parse_by, "minute or hour"),
}

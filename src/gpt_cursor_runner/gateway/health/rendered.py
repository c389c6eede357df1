"""Texts that everybody gets are rendered once per snapshot, however many ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gpt_cursor_runner.gateway.health import view
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Identity, Overall, Snapshot

# A snapshot of an engine that stands still is rendered anew so often: there are
# ages in it.
_SHOWN_SECONDS = 1.0

Text = TypeVar("Text")


@dataclass(frozen=True)
class _Rendering(Generic[Text]):
    snapshot: Snapshot
    verdict: Verdict
    good_until: float
    text: Text


class Rendered(Generic[Text]):
    """Keeps what `render(snapshot, verdict, now)` made until another snapshot
    comes or its verdict may change.

    Threads may race to render the same snapshot; they render the same text, so
    the last one to store it may win.
    """

    def __init__(self, render: Callable[[Snapshot, Verdict, float], Text]) -> None:
        self._render = render
        self._latest: _Rendering[Text] | None = None

    def of(self, snapshot: Snapshot, now: float) -> tuple[Verdict, Text]:
        """The text for this snapshot, and the verdict it says."""
        latest = self._latest
        if latest is None or latest.snapshot is not snapshot or now > latest.good_until:
            verdict = judge(snapshot, now)
            good_until = min(verdict.valid_until, now + _SHOWN_SECONDS)
            latest = _Rendering(snapshot, verdict, good_until, self._render(snapshot, verdict, now))
            self._latest = latest
        return latest.verdict, latest.text


@dataclass(frozen=True)
class Ageless:
    """A body but for its age, which alone is another at every request."""

    text: str
    oldest_at: float

    def at(self, now: float) -> bytes:
        """The whole body."""
        return f'{self.text}, "age_ms": {round(1000 * (now - self.oldest_at))}}}'.encode()


def public_texts(identity: Identity) -> Rendered[Ageless]:
    """The strangers' bodies."""

    def render(snapshot: Snapshot, verdict: Verdict, now: float) -> Ageless:
        body = view.public_body(snapshot, verdict, identity, now)
        del body["age_ms"]
        return Ageless(json.dumps(body).removesuffix("}"), view.oldest_at(snapshot, verdict))

    return Rendered(render)


def fallback(identity: Identity) -> Callable[[float], bytes]:
    """The `error` body, built before anything can go wrong; only its moments
    are put in when it is needed.
    """
    body = view.error_body(identity, wall=0.0)
    for moment in ("timestamp", "observed_at", "since"):
        del body[moment]
    text = json.dumps(body).removesuffix("}")

    def at(wall: float) -> bytes:
        utc = view.utc(wall)
        return (
            f'{text}, "timestamp": "{view.naive_utc(wall)}", "observed_at": "{utc}", "since":'
            f' "{utc}"}}'.encode()
        )

    return at


def http_status(overall: Overall, soft: bool) -> int:
    """200 for healthy and degraded, 503 for unknown and error; `soft` is 200
    for all, for who would back off.
    """
    return 200 if soft or overall in (Overall.HEALTHY, Overall.DEGRADED) else 503

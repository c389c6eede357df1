"""Bodies that are the same for every request are rendered once per snapshot,
for any number of requests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gpt_cursor_runner.gateway.health import view
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Identity, Overall, Snapshot

# A monitor that hangs publishes no new snapshot, and a body has ages in it: it
# is rendered again after this time.
KEEP_SECONDS = 1.0

Text = TypeVar("Text")


@dataclass(frozen=True)
class _Rendering(Generic[Text]):
    snapshot: Snapshot
    verdict: Verdict
    valid_until: float
    text: Text


class RenderCache(Generic[Text]):
    """Keeps the result of `render(snapshot, verdict, now)` until the monitor
    publishes another snapshot or the verdict may change.
    """

    def __init__(self, render: Callable[[Snapshot, Verdict, float], Text]) -> None:
        self._render = render
        self._latest: _Rendering[Text] | None = None

    def get(self, snapshot: Snapshot, now: float) -> tuple[Verdict, Text]:
        """The verdict on the snapshot at `now`, and its text."""
        latest = self._latest
        if latest is None or latest.snapshot is not snapshot or now > latest.valid_until:
            verdict = judge(snapshot, now)
            text = self._render(snapshot, verdict, now)
            valid_until = min(verdict.valid_until, now + KEEP_SECONDS)
            latest = _Rendering(snapshot, verdict, valid_until, text)
            # Without a lock: threads that render one snapshot at the same time
            # store the same text, and a reference is assigned atomically.
            self._latest = latest
        return latest.verdict, latest.text


@dataclass(frozen=True)
class BodyWithoutAge:
    """A JSON body without its last member, `age_ms`, which is different in every
    answer.
    """

    text: str
    oldest_at: float

    def with_age(self, now: float) -> bytes:
        """The complete body at `now`."""
        return f'{self.text}, "age_ms": {view.age_ms(self.oldest_at, now)}}}'.encode()


def public_bodies(identity: Identity) -> RenderCache[BodyWithoutAge]:
    """The bodies for requests without a key."""

    def render(snapshot: Snapshot, verdict: Verdict, now: float) -> BodyWithoutAge:
        body = view.public_body(snapshot, verdict, identity, now)
        del body["age_ms"]
        return BodyWithoutAge(json.dumps(body).removesuffix("}"), view.oldest_at(snapshot, verdict))

    return RenderCache(render)


def error_bodies(identity: Identity) -> Callable[[float], bytes]:
    """The `error` body as a function of the wall clock. It is rendered now,
    before anything can fail; only its timestamps are inserted when it is used.
    """
    body = view.error_body(identity, wall=0.0)
    for timestamp in ("timestamp", "observed_at", "since"):
        del body[timestamp]
    text = json.dumps(body).removesuffix("}")

    def render(wall: float) -> bytes:
        utc = view.utc(wall)
        timestamps = (
            f'"timestamp": "{view.naive_utc(wall)}", "observed_at": "{utc}", "since": "{utc}"'
        )
        return f"{text}, {timestamps}}}".encode()

    return render


def http_status(overall: Overall, always_200: bool) -> int:
    """200 for healthy and degraded, 503 for unknown and error."""
    if always_200 or overall in (Overall.HEALTHY, Overall.DEGRADED):
        return 200
    return 503

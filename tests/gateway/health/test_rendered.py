"""Bodies are rendered once per snapshot, and never kept beyond it."""

from __future__ import annotations

import json

import pytest

from gpt_cursor_runner.gateway.health import rendered
from gpt_cursor_runner.gateway.health.rendered import RenderCache, public_bodies
from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import CheckStatus, Identity, Snapshot
from tests.health.builders import NOW, check, gateway_checks, snapshot

ME = Identity("instance-1", 5555, "3.1.1")
HEALTHY = snapshot(*gateway_checks())
UNKNOWN = snapshot(*gateway_checks(queue=check("queue", CheckStatus.FAIL, code="locked")))


class Renderer:
    """Counts how often it renders."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, snapshot: Snapshot, verdict: Verdict, now: float) -> str:
        self.calls += 1
        return f"{verdict.overall} at {now}"


@pytest.fixture
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
def cache(renderer: Renderer) -> RenderCache[str]:
    return RenderCache(renderer)


def test_a_snapshot_is_rendered_once_for_a_hundred_requests(cache, renderer):
    texts = {cache.get(HEALTHY, NOW + number / 1000)[1] for number in range(100)}
    assert (texts, renderer.calls) == ({f"healthy at {NOW}"}, 1)


def test_a_new_snapshot_is_rendered_at_once(cache):
    assert cache.get(HEALTHY, NOW)[1] == f"healthy at {NOW}"
    verdict, text = cache.get(UNKNOWN, NOW)
    assert (verdict.reasons, text) == (("queue.locked",), f"unknown at {NOW}")
    assert cache.get(HEALTHY, NOW)[1] == f"healthy at {NOW}"


def test_a_snapshot_that_stays_is_rendered_again_after_a_second(cache, renderer):
    assert rendered.KEEP_SECONDS == 1.0
    cache.get(HEALTHY, NOW)
    cache.get(HEALTHY, NOW + 1.0)
    assert renderer.calls == 1
    assert cache.get(HEALTHY, NOW + 1.001)[1] == f"healthy at {NOW + 1.001}"


def test_a_snapshot_is_rendered_again_when_a_reading_becomes_stale(cache):
    aging = snapshot(*gateway_checks(queue=check("queue", age=3.5)))
    assert cache.get(aging, NOW)[0].overall == "healthy"
    verdict, text = cache.get(aging, NOW + 0.501)
    assert (verdict.reasons, text) == (("queue.stale",), f"unknown at {NOW + 0.501}")


def test_the_age_is_computed_for_every_request():
    bodies = public_bodies(ME)
    verdict, body = bodies.get(HEALTHY, NOW)
    assert json.loads(body.with_age(NOW))["age_ms"] == 100
    assert json.loads(body.with_age(NOW + 0.25))["age_ms"] == 350
    assert bodies.get(HEALTHY, NOW + 0.25) == (verdict, body)


def test_the_ages_within_the_text_are_at_most_a_second_old():
    bodies = public_bodies(ME)
    for seconds in (0.0, 0.9, 1.8, 2.7, 3.6, 4.5):
        now = NOW + seconds
        metrics = json.loads(bodies.get(HEALTHY, now)[1].with_age(now))["system_metrics"]
        assert 1000 * seconds - metrics["sample_age_ms"] <= 1000

"""`GET /health/history` over a real ledger."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from gpt_cursor_runner.gateway.health.history import HealthHistoryApi
from gpt_cursor_runner.gateway.health.routes import HealthApp
from gpt_cursor_runner.gateway.key_cache import KeyCache
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.ledger.alerts import AlertStore, Flip, HistoryBatch
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.ledger import Ledger
from tests.gateway.builders import problem
from tests.gateway.health.test_routes import FakeMonitor, bearing
from tests.health.builders import until

MINUTE, HOUR = 60, 3600
NOW = 1_800_000_030.0  # half a minute after a whole hour
START = 1_800_000_000


@dataclass
class HistoryClient:
    ledger: Ledger
    client: Client
    owner: dict[str, str]

    def get(self, query: str = "") -> TestResponse:
        return self.client.get(f"/health/history{query}", headers=self.owner)

    def body(self, query: str = "") -> dict[str, Any]:
        answer = self.get(query)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = json.loads(answer.data)
        return body

    def flip(self, subject: str, status: str, at: float, before: str | None = None) -> None:
        flip = Flip(
            subject, status, f"{status}_code", before, before and f"{before}_code", at, "instance-1"
        )
        self.ledger.alerts.record(HistoryBatch(flips=(flip,)))


@pytest.fixture
def history(ledger: Ledger) -> HistoryClient:
    key_cache = KeyCache(ledger.keys, time.time)
    owner = bearing(ledger, key_cache, "read")
    app = HealthApp(
        FakeMonitor(),
        Identity("instance-1", 5555),
        key_cache,
        HealthHistoryApi(ledger.alerts, ledger.uptime, lambda: NOW),
    )
    return HistoryClient(ledger, Client(app), owner)


def test_the_history_needs_a_key(history):
    problem(history.client.get("/health/history"), 401, "no_key")


def test_a_new_ledger_has_an_empty_history(history):
    body = history.body()
    assert (body["flips"], body["before"], body["uptime"], body["strip"]["checks"]) == (
        [],
        None,
        {},
        {},
    )


def test_flips_are_listed_newest_first_and_page_by_page(history):
    history.flip("runner", "ok", START - 30)
    history.flip("runner", "fail", START - 20, before="ok")
    history.flip("queue", "warn", START - 10, before="ok")
    first = history.body("?limit=2")
    assert [(flip["check"], flip["status"]) for flip in first["flips"]] == [
        ("queue", "warn"),
        ("runner", "fail"),
    ]
    assert first["flips"][1]["before"] == {"status": "ok", "code": "ok_code"}
    assert first["flips"][1]["at"] == "2027-01-15T07:59:40.000000+00:00"
    rest = history.body(f"?limit=2&before={first['before']}")
    assert [(flip["check"], flip["before"]) for flip in rest["flips"]] == [("runner", None)]
    assert rest["before"] is None


def test_flips_are_selected_by_check_and_since_a_moment(history):
    for at in (START - 30, START - 10):
        history.flip("runner", "ok", at)
        history.flip("queue", "ok", at)
    for since in (str(START - 20), "2027-01-15T07:59:40Z", "2027-01-15T08:59:40%2B01:00"):
        flips = history.body(f"?check=runner&since={since}")["flips"]
        assert [(flip["check"], flip["at"][11:19]) for flip in flips] == [("runner", "07:59:50")]


def test_the_strip_has_the_worst_state_of_every_minute_and_null_for_unobserved_ones(history):
    observe = history.ledger.uptime.observe
    observe(START - 59 * MINUTE, {"runner": (60, 0, 0, 0), "queue": (0, 0, 0, 60)})
    observe(START - MINUTE, {"runner": (59, 0, 1, 0)})
    observe(START - 60 * MINUTE, {"runner": (0, 1, 0, 0)})
    observe(START, {"runner": (0, 0, 1, 0)})  # under way
    observe(START - 61 * MINUTE, {"runner": (0, 0, 60, 0)})  # more than an hour ago
    strip = history.body()["strip"]
    assert (strip["seconds"], strip["since"]) == (60, "2027-01-15T07:00:00.000000+00:00")
    assert strip["checks"]["runner"] == ["warn", "ok", *[None] * 57, "fail"]
    assert strip["checks"]["queue"] == [None, "unknown", *[None] * 58]
    assert list(history.body("?check=queue")["strip"]["checks"]) == ["queue"]


def test_the_strip_of_a_day_is_by_the_hour(history):
    history.ledger.uptime.observe(START - 23 * HOUR, {"runner": (30, 30, 0, 0)})
    strip = history.body("?by=hour")["strip"]
    assert (strip["seconds"], strip["since"]) == (3600, "2027-01-14T08:00:00.000000+00:00")
    assert strip["checks"]["runner"] == [None, "warn", *[None] * 22]


def test_uptime_has_the_observed_and_the_unobserved_seconds(history):
    history.ledger.uptime.observe(
        START - MINUTE, {"runner": (30, 15, 15, 0), "queue": (60, 0, 0, 0)}
    )
    uptime = history.body("?check=runner")["uptime"]
    assert list(uptime) == ["runner"] and list(uptime["runner"]) == ["1h", "24h", "7d", "30d"]
    assert uptime["runner"]["1h"] == {
        "ratio": 0.75,
        "ok_seconds": 30,
        "warn_seconds": 15,
        "fail_seconds": 15,
        "unknown_seconds": 0,
        "unobserved_seconds": 3540,
    }


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("?limit=0", ["/limit"]),
        ("?limit=501", ["/limit"]),
        ("?limit=ten", ["/limit"]),
        ("?before=-1", ["/before"]),
        ("?since=yesterday", ["/since"]),
        ("?since=2026-01-01T00:00:00", ["/since"]),
        ("?since=99999999999999999999", ["/since"]),
        ("?check=../etc", ["/check"]),
        ("?check=", ["/check"]),
        ("?by=year&limit=x", ["/limit", "/by"]),
    ],
)
def test_every_bad_value_is_named(history, query, pointers):
    body = problem(history.get(query), 422, "bad_query")
    assert [error["pointer"] for error in body["errors"]] == pointers
    assert all(error["hint"] for error in body["errors"])


def test_a_ledger_that_cannot_be_read_is_503(history):
    with history.ledger.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE flips")
    answer = history.get()
    problem(answer, 503, "ledger_unavailable")
    assert answer.headers["Retry-After"] == "5"


class SlowAlerts(AlertStore):
    """A ledger that does not answer until a test lets it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads = 0
        self.may_end = threading.Event()

    def flips(self, *_: object, **__: object) -> list[Flip]:
        self.reads += 1
        assert self.may_end.wait(60)
        return []


def test_a_ledger_that_hangs_holds_two_threads_and_no_more(ledger):
    slow = SlowAlerts(ledger.database)
    api = HealthHistoryApi(slow, ledger.uptime, time.time)
    threads = [threading.Thread(target=lambda: api.body({})) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert until(lambda: slow.reads == 2, 30)
    with pytest.raises(Problem, match="Too many requests"):
        api.body({})
    slow.may_end.set()
    for thread in threads:
        thread.join()
    assert api.body({})

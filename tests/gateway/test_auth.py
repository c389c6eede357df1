"""Keys and scopes, and how long a cached key is trusted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from gpt_cursor_runner.gateway.auth import authorize
from gpt_cursor_runner.gateway.key_cache import KeyCache
from gpt_cursor_runner.ledger.keys import Key
from gpt_cursor_runner.ledger.ledger import Ledger
from tests.gateway.builders import gateway_in, problem
from tests.running import wait_until


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(ledger: Ledger, clock: Clock) -> KeyCache:
    return KeyCache(ledger.keys, time.time, monotonic=clock)


@pytest.fixture
def queries(ledger: Ledger) -> Iterator[list[str]]:
    """Every query that the ledger gets."""
    executed: list[str] = []

    def record(*arguments: object) -> None:
        executed.append(str(arguments[2]))

    event.listen(ledger.database.engine, "before_cursor_execute", record)
    yield executed
    event.remove(ledger.database.engine, "before_cursor_execute", record)


def bearer(text: str) -> str:
    return f"Bearer {text}"


def create(ledger: Ledger, *scopes: str, expires_at: float | None = None) -> tuple[Key, str]:
    """A new key, and the header that carries it."""
    key, text = ledger.keys.create("a key", scopes, time.time(), expires_at)
    return key, bearer(text)


def reads(queries: list[str]) -> int:
    return sum("SELECT" in query for query in queries)


def test_a_revoked_key_is_refused_within_a_second(ledger, cache, clock):
    key, header = create(ledger, "read")
    assert cache.find(header) == key
    assert ledger.keys.revoke(key.id, time.time())
    clock.now += 1.001
    assert cache.find(header) is None


def test_a_revoked_key_is_refused_while_the_thread_refreshes(ledger):
    cache = KeyCache(ledger.keys, time.time)
    cache.start()
    try:
        key, header = create(ledger, "read")
        wait_until(lambda: cache.may_read(header), "the new key is missing")
        ledger.keys.revoke(key.id, time.time())
        wait_until(lambda: not cache.may_read(header), "the revoked key is still valid")
    finally:
        cache.stop()


def test_the_thread_refreshes_before_a_cached_key_is_too_old():
    assert KeyCache.REFRESH_SECONDS * 2 <= KeyCache.TRUSTED_SECONDS <= 1.0


def test_an_expired_key_is_refused(gateway):
    _, text = gateway.ledger.keys.create("short", ["read"], time.time() - 10, time.time() - 5)
    problem(gateway.get("/v1/patches", key=text), 401, "no_key")


def test_a_cached_key_costs_the_ledger_one_read_a_second(ledger, cache, clock, queries):
    _, header = create(ledger, "read")
    for second in range(1, 4):
        for _ in range(50):
            assert cache.find(header) is not None
        assert reads(queries) == second
        clock.now += 1.001


def test_a_new_key_is_valid_at_once(ledger, cache):
    create(ledger, "read")
    cache.refresh()
    _, header = create(ledger, "read")
    assert cache.find(header) is not None


def test_a_request_without_a_key_costs_the_ledger_nothing(cache, queries):
    for header in ("", "Bearer", "Bearer ", "Basic Z2NyOng="):
        assert cache.find(header) is None
    assert queries == []


def test_wrong_keys_leave_nothing_in_memory(ledger, cache):
    key, _ = create(ledger, "read")
    for number in range(300):
        assert cache.find(bearer(f"gcr_{number:012x}_{'A' * 43}")) is None
    assert list(cache._loaded.keys) == [key.id]


def test_a_slow_read_does_not_bring_back_a_revoked_key(ledger, cache, clock, monkeypatch):
    key, header = create(ledger, "read")
    read = ledger.keys.unrevoked

    def read_slowly():
        keys = read()
        monkeypatch.setattr(ledger.keys, "unrevoked", read)
        ledger.keys.revoke(key.id, time.time())
        clock.now += 0.1
        cache.refresh()
        return keys

    monkeypatch.setattr(ledger.keys, "unrevoked", read_slowly)
    cache.refresh()
    assert cache.cached(header) is None


def test_admin_includes_every_scope(ledger, cache):
    owner, header = create(ledger, "admin")
    for scope in ("submit", "read", "approve"):
        assert authorize(cache.find(header), scope) == owner


def test_a_gateway_without_keys_admits_every_request_but_not_as_admin(tmp_path):
    with gateway_in(tmp_path, insecure_no_auth=True) as gateway:
        assert gateway.post(key=None).status_code == 202
        assert gateway.get("/v1/patches", key="wrong").status_code == 200
        assert gateway.ledger.queries.page()[0].submitted_by == "anybody on this machine"
        loopback_user = gateway.built.parts.keys.cached("")
        assert loopback_user is not None and not loopback_user.allows("admin")
        assert gateway.built.parts.keys.may_read("Bearer wrong")


def test_health_accepts_the_cached_keys_of_an_unreadable_ledger_and_patches_are_503(gateway):
    gateway.built.parts.keys.refresh()
    with gateway.ledger.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE keys")
    answer = gateway.get("/v1/patches", key="gcr_0123456789ab_" + "A" * 43)
    problem(answer, 503, "ledger_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert gateway.get("/livez").status_code == 200
    assert "checks" in gateway.get("/health?http=200", key="read").json
    assert "checks" not in gateway.get("/health?http=200", key="wrong").json


def test_an_unreadable_ledger_refuses_a_key_that_is_cached_too_long(ledger, cache, clock):
    _, header = create(ledger, "read")
    cache.refresh()
    with ledger.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE keys")
    assert cache.find(header) is not None
    clock.now += 1.001
    with pytest.raises(OperationalError):
        cache.find(header)
    assert cache.may_read(header)


def test_health_reads_keys_from_memory_only(ledger, cache, clock, queries):
    _, header = create(ledger, "read")
    cache.refresh()
    queries.clear()
    clock.now += 3600
    assert cache.may_read(header) and not cache.may_read("") and not cache.may_read("Bearer x")
    assert queries == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic {text}",
        "{text}",
        "Bearer {text}x",
        "Bearer gcr_0123456789ab_{secret}",
        "Bearer \xe9",
    ],
)
def test_only_a_complete_key_is_valid(ledger, cache, header):
    _, text = ledger.keys.create("reader", ["read"], time.time())
    cache.refresh()
    wrong = header.format(text=text, secret=text.rpartition("_")[2])
    assert cache.cached(wrong) is None and cache.find(wrong) is None
    assert cache.may_read(f"bearer  {text} ")


def test_a_cached_key_has_its_scopes_and_its_end(ledger):
    now = [time.time()]
    cache = KeyCache(ledger.keys, lambda: now[0])
    headers = {
        scope: create(ledger, scope, expires_at=now[0] + 60)[1]
        for scope in ("submit", "read", "admin")
    }
    cache.refresh()
    assert {scope: cache.may_read(header) for scope, header in headers.items()} == {
        "submit": False,
        "read": True,
        "admin": True,
    }
    now[0] += 61
    assert not any(cache.may_read(header) for header in headers.values())

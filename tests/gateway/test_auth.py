"""Who may come in, and for how long a look at the ledger is believed."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from sqlalchemy import event

from gpt_cursor_runner.gateway.auth import Authority, Ring
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.keys import Key
from tests.gateway.builders import desk_in, problem
from tests.running import wait_until


def asked(authority: Authority, key: str | None = None, scope: str = "read") -> Key:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with Flask("asking").test_request_context("/", headers=headers):
        return authority.require(scope)


def test_a_revoked_key_is_refused_within_a_second(desk):
    assert desk.get("/v1/patches", key="read").status_code == 200
    revoked = next(one for one in desk.ledger.keys.list() if one.name == "key read")
    assert desk.ledger.keys.revoke(revoked.id, time.time())
    time.sleep(0.9)
    problem(desk.get("/v1/patches", key="read"), 401, "no_key")
    assert desk.get("/v1/patches", key="all").status_code == 200


def test_an_expired_key_is_refused(desk):
    _, text = desk.ledger.keys.create("short", ["read"], time.time() - 10, time.time() - 5)
    problem(desk.get("/v1/patches", key=text), 401, "no_key")


def test_a_live_key_is_looked_up_once_in_a_while(ledger):
    _, text = ledger.keys.create("busy", ["read"], time.time())
    authority, queries = Authority(ledger.keys, time.time), []
    event.listen(
        ledger.database.engine, "before_cursor_execute", lambda *said: queries.append(said[2])
    )
    for _ in range(50):
        assert asked(authority, text).name == "busy"
    assert sum("SELECT" in query for query in queries) == 1


def test_wrong_keys_leave_nothing_in_memory(ledger):
    authority = Authority(ledger.keys, time.time)
    for number in range(300):
        with pytest.raises(Problem):
            asked(authority, f"gcr_{number:012x}_{'A' * 43}")
    assert not authority._believed


def test_keys_in_memory_are_bounded(ledger, monkeypatch):
    monkeypatch.setattr("gpt_cursor_runner.gateway.auth._MAX_REMEMBERED", 3)
    authority = Authority(ledger.keys, time.time)
    for number in range(8):
        asked(authority, ledger.keys.create(str(number), ["read"], time.time())[1])
    assert len(authority._believed) <= 3


def test_admin_includes_every_scope(ledger):
    authority = Authority(ledger.keys, time.time)
    _, text = ledger.keys.create("owner", ["admin"], time.time())
    assert {asked(authority, text, scope).name for scope in ("submit", "read", "approve")} == {
        "owner"
    }


def test_an_open_door_lets_everybody_in_but_not_as_admin(tmp_path):
    with desk_in(tmp_path, insecure_no_auth=True) as desk:
        assert desk.post(key=None).status_code == 202
        assert desk.get("/v1/patches", key="wrong").status_code == 200
        assert desk.ledger.queries.page()[0].submitted_by == "anybody on this machine"


def test_a_ledger_that_cannot_be_read_is_503_and_health_goes_by_the_keys_it_knows(desk):
    with desk.ledger.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE keys")
    answer = desk.get("/v1/patches", key="read")
    problem(answer, 503, "ledger_unavailable")
    assert answer.headers["Retry-After"] == "5"
    desk.gateway.ring.look()
    assert desk.get("/livez").status_code == 200
    assert "checks" in desk.get("/health?http=200", key="read").json
    assert "checks" not in desk.get("/health?http=200", key="wrong").json


def bearer(text: str) -> str:
    return f"Bearer {text}"


def test_the_ring_knows_a_new_key_within_a_second_and_forgets_a_revoked_one(ledger):
    ring = Ring(ledger.keys, time.time)
    ring.start()
    try:
        key, text = ledger.keys.create("reader", ["read"], time.time())
        wait_until(lambda: ring.may_read(bearer(text)), 1, "the new key is unknown")
        ledger.keys.revoke(key.id, time.time())
        wait_until(lambda: not ring.may_read(bearer(text)), 1, "the revoked key still opens")
    finally:
        ring.stop()


def test_the_ring_asks_no_ledger_when_it_is_asked(ledger):
    _, text = ledger.keys.create("reader", ["read"], time.time())
    ring, queries = Ring(ledger.keys, time.time), []
    ring.look()
    event.listen(
        ledger.database.engine, "before_cursor_execute", lambda *said: queries.append(said[2])
    )
    assert ring.may_read(bearer(text)) and not ring.may_read("") and queries == []


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
def test_the_ring_opens_to_nothing_but_a_whole_key(ledger, header):
    _, text = ledger.keys.create("reader", ["read"], time.time())
    ring = Ring(ledger.keys, time.time)
    ring.look()
    assert not ring.may_read(header.format(text=text, secret=text.rpartition("_")[2]))
    assert ring.may_read(f"bearer  {text} ")


def test_the_ring_goes_by_scope_and_end(ledger):
    now = time.time()
    clock = [now]
    ring = Ring(ledger.keys, lambda: clock[0])
    texts = {
        name: ledger.keys.create(name, [name], now, now + 60)[1]
        for name in ("submit", "read", "admin")
    }
    ring.look()
    assert {name: ring.may_read(bearer(text)) for name, text in texts.items()} == {
        "submit": False,
        "read": True,
        "admin": True,
    }
    clock[0] += 61
    assert not any(ring.may_read(bearer(text)) for text in texts.values())


def test_the_ring_of_an_open_door_opens_to_everybody(ledger):
    ring = Ring(ledger.keys, time.time, open_door=True)
    assert ring.may_read("") and ring.may_read("Bearer wrong")

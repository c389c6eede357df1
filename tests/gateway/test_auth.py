"""Who may come in, and for how long a look at the ledger is believed."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from sqlalchemy import event

from gpt_cursor_runner.gateway.auth import Authority
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.keys import Key
from tests.gateway.builders import desk_in, problem


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
    event.listen(ledger.engine, "before_cursor_execute", lambda *said: queries.append(said[2]))
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
    assert {asked(authority, text, scope).name for scope in ("submit", "read", "approve")} == {"owner"}


def test_an_open_door_lets_everybody_in_but_not_as_admin(tmp_path):
    with desk_in(tmp_path, insecure_no_auth=True) as desk:
        assert desk.post(key=None).status_code == 202
        assert desk.get("/v1/patches", key="wrong").status_code == 200
        assert desk.ledger.reading.page()[0].submitted_by == "anybody on this machine"


def test_a_ledger_that_cannot_be_read_is_503_and_health_shows_its_public_side(desk):
    with desk.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE keys")
    answer = desk.get("/v1/patches", key="read")
    problem(answer, 503, "ledger_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert desk.get("/livez").status_code == 200
    assert "checks" not in desk.get("/health?http=200", key="read").json

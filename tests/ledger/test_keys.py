"""Keys: which text is accepted, and that no secret is stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt_cursor_runner.ledger.keys import Key, match_key
from gpt_cursor_runner.ledger.ledger import Ledger

NOW = 1000.0


def find(ledger: Ledger, text: str, now: float) -> Key | None:
    return match_key(ledger.keys.unrevoked(), text, now)


def test_a_key_is_found_by_its_text(ledger: Ledger) -> None:
    key, key_text = ledger.keys.create("ci", ["submit", "read"], NOW)
    assert find(ledger, key_text, NOW) == key
    assert (key.name, sorted(key.scopes)) == ("ci", ["read", "submit"])


def test_the_secret_is_nowhere_in_the_state_directory(ledger: Ledger, tmp_path: Path) -> None:
    _, key_text = ledger.keys.create("ci", ["submit"], NOW)
    secret = key_text.split("_", 2)[2].encode()
    stored = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert secret not in stored
    assert b"ci" in stored


def test_every_key_has_its_own_secret_of_256_bits(ledger: Ledger) -> None:
    secrets = {ledger.keys.create("ci", ["read"], NOW)[1].split("_", 2)[2] for _ in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {43}


def test_a_wrong_secret_finds_no_key(ledger: Ledger) -> None:
    _, key_text = ledger.keys.create("ci", ["submit"], NOW)
    _, other = ledger.keys.create("other", ["submit"], NOW)
    key_id, secret = key_text.split("_", 2)[1], other.split("_", 2)[2]
    for text in (
        f"gcr_{key_id}_{secret}",
        key_text[:-1],
        f"{key_text} ",
        key_text.upper(),
        "",
        "gcr__",
        "x" * 5000,
        "gcr_ü_ü",
    ):
        assert find(ledger, text, NOW) is None, text


def test_a_revoked_key_is_not_found(ledger: Ledger) -> None:
    key, key_text = ledger.keys.create("ci", ["submit"], NOW)
    assert ledger.keys.revoke(key.id, NOW + 1) is True
    assert find(ledger, key_text, NOW + 2) is None
    assert ledger.keys.revoke(key.id, NOW + 3) is False
    assert ledger.keys.list()[0].revoked_at == NOW + 1


def test_a_key_is_found_until_the_moment_it_expires(ledger: Ledger) -> None:
    _, key_text = ledger.keys.create("ci", ["submit"], NOW, expires_at=NOW + 10)
    assert find(ledger, key_text, NOW + 9.9) is not None
    assert find(ledger, key_text, NOW + 10) is None


def test_an_expiry_can_be_advanced_but_not_postponed(ledger: Ledger) -> None:
    key, key_text = ledger.keys.create("ci", ["submit"], NOW)
    ledger.keys.expire(key.id, NOW + 10)
    ledger.keys.expire(key.id, NOW + 99)
    assert find(ledger, key_text, NOW + 11) is None


def test_only_an_unrevoked_unexpired_key_is_live(ledger: Ledger) -> None:
    assert not ledger.keys.any_live(NOW)
    key, _ = ledger.keys.create("ci", ["submit"], NOW, expires_at=NOW + 10)
    assert ledger.keys.any_live(NOW)
    assert not ledger.keys.any_live(NOW + 10)
    ledger.keys.revoke(key.id, NOW)
    assert not ledger.keys.any_live(NOW)


def test_a_scope_allows_itself_and_admin_allows_all(ledger: Ledger) -> None:
    reader, _ = ledger.keys.create("reader", ["read"], NOW)
    admin, _ = ledger.keys.create("admin", ["admin"], NOW)
    assert reader.allows("read")
    assert not any(reader.allows(scope) for scope in ("submit", "approve", "admin"))
    assert all(admin.allows(scope) for scope in ("submit", "read", "approve", "admin"))


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "write"]])
def test_unknown_or_missing_scopes_are_rejected(ledger: Ledger, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="submit, read, approve, admin"):
        ledger.keys.create("ci", scopes, NOW)
    assert ledger.keys.list() == []


def test_a_forgotten_key_is_deleted(ledger: Ledger) -> None:
    key, key_text = ledger.keys.create("probe", ["read"], NOW)
    ledger.keys.forget(key.id)
    assert find(ledger, key_text, NOW) is None
    assert ledger.keys.list() == []


def test_the_json_of_a_key_has_no_secret(ledger: Ledger) -> None:
    key, _ = ledger.keys.create("ci", ["read", "submit"], NOW)
    assert key.to_json() == {
        "id": key.id,
        "name": "ci",
        "scopes": ["read", "submit"],
        "created_at": NOW,
        "expires_at": None,
        "revoked_at": None,
    }

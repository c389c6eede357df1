from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from gpt_cursor_runner.landing.redacting import redact

SECRET = 's3cr3t/p+ss w\u00f6rd"'
ENVIRONMENT = {"API_TOKEN": SECRET}


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"token={SECRET}!",
        quote(SECRET, safe=""),
        json.dumps({"token": SECRET}),
        SECRET.encode().hex(),
        *(base64.b64encode(f"{'x' * n}{SECRET}yz".encode()).decode() for n in range(4)),
        *(base64.urlsafe_b64encode(f"{'x' * n}{SECRET}".encode()).decode() for n in range(4)),
    ],
)
def test_a_secret_is_replaced_in_every_encoding(text: str) -> None:
    redacted = redact(text.encode(), ENVIRONMENT)
    assert b"***" in redacted
    core = SECRET.encode()[3:-3]
    for encoded in (core, base64.b64encode(core)[2:-4], core.hex().encode()):
        assert encoded not in redacted


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("DATABASE_PASSWORD", "swordfish", True),
        ("github_token", "swordfish", True),
        ("AWS_SECRET_ACCESS_KEY", "swordfish", True),
        ("KEY", "swordfish", True),
        ("MONKEY", "swordfish", False),
        ("MODE", "production", False),
        ("PASSWORD", "abc", False),
    ],
)
def test_the_name_of_a_variable_decides(name: str, value: str, is_secret: bool) -> None:
    assert (redact(value.encode(), {name: value}) == b"***") == is_secret


def test_the_password_of_an_address_is_a_secret() -> None:
    url = "postgresql://app:swordfish@db.example.org/app"
    assert redact(b"cannot reach " + url.encode(), {"DATABASE_URL": url}) == (
        b"cannot reach postgresql://app:***@db.example.org/app"
    )


def test_each_line_of_a_secret_is_replaced() -> None:
    key = "-----BEGIN KEY-----\nfirst line\nsecond line\n-----END KEY-----"
    assert redact(b"> second line", {"PRIVATE_KEY": key}) == b"> ***"

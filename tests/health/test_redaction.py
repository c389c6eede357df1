from __future__ import annotations

import base64
import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_cursor_runner.health.monitor.redaction import names_a_secret, redact

SECRET = "hunter2-Zebra"


@pytest.mark.parametrize(
    "text",
    [
        "could not connect to postgresql://app:{}@db.example:5432/app",
        "https://{}@git.example/app.git was not found",
        "redis://:{}@cache:6379/0",
        "could not connect: app:{}@tcp(10.0.0.5:3306)/app",
        "host=db user=app password={} dbname=app",
        "password = '{}' is wrong",
        'PASSWORD: "{}"',
        "the password '{}' was refused",
        '{{"user": "app", "password": "{}", "port": 5432}}',
        '{{"said": "{{\\"api_key\\": \\"{}\\"}}"}}',
        "GET /hook?token={}&x=1",
        "AWS_SECRET_ACCESS_KEY={}",
        "client_secret => {}",
        "x-api-key: {}",
        "Authorization: Bearer {}",
        "Authorization: Basic {}",
        "authorization={}",
        "headers={{'Authorization': 'Bearer {}'}}",
        "sent Bearer {} and was refused",
        "psql --password {} --host db",
        "Set-Cookie: {}; Path=/",
        "passwd:{}",
    ],
)
def test_a_named_secret_is_hidden(text):
    shown = redact(text.format(SECRET))
    assert SECRET not in shown and "hunter2" not in shown and "***" in shown


@pytest.mark.parametrize(
    "secret",
    [
        "gcr_a1b2c3d4e5f6_" + "aB3-x_Y9" * 5,
        "whsec_" + "MfKQ9r8/" * 4,
        "ghp_" + "a1B2c3" * 6,
        "sk-" + "0a1b2c3d" * 6,
        "AKIA" + "ABCDEFGHIJ234567",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "3f9a1c5e7b2d4086a1b2c3d4e5f60718",
        "Zx81kQp07LmN2vBc9TyU4wRe6",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA\nxyz\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMHcCAQEEIA cut off",
    ],
)
def test_a_secret_of_a_known_form_is_hidden_without_a_name(secret):
    assert redact(f"refused: {secret}") == "refused: ***"


def test_random_tokens_are_hidden():
    dice = random.Random(20261123)
    tokens = [
        base64.urlsafe_b64encode(dice.randbytes(32)).rstrip(b"=").decode() for _ in range(200)
    ]
    shown = [redact(f"it said {token} again") for token in tokens]
    assert sum("***" in text for text in shown) >= 190


@pytest.mark.parametrize(
    "text",
    [
        "[Errno 28] No space left on device: '/srv/gpt-cursor-runner/state/patches'",
        (
            "git -C /home/me/code/app exited with 128: fatal: bad object"
            " 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"
        ),
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 differs",
        "patch-v3.3.31(P8.13.23)_flask-health-endpoint-hardening was not landed",
        "runner gcr-runner-7d9f8b6c5d-x2x9z-1a2b3c4d stopped",
        "boot 0b9bb0e5-3b8d-4b53-9c2c-6f5a7a3f6f2e, instance 9f86d081884c7d65",
        "/tmp/pytest-of-root/pytest-12/test_a_file_that_is_no_database_is_corrupt0",
        "password authentication failed for the owner",
        "3 queued, the oldest for 16 minutes; see https://example.org/help?page=2#top",
        "gcr_read_only, sqlite3.OperationalError: database is locked",
        "127.0.0.1:5555 answers as this gateway at 2026-07-29T22:58:51.312594+00:00",
        "",
    ],
)
def test_other_text_stays_readable(text):
    assert redact(text) == text


def test_the_text_around_a_secret_stays():
    shown = redact(
        "cannot reach postgresql://app:secret@db.example:5432/app?sslmode=require, password=abc,"
        " code 7"
    )
    assert (
        shown
        == "cannot reach postgresql://***@db.example:5432/app?sslmode=require, password=***, code 7"
    )
    assert json.loads(redact(json.dumps({"password": 'a"b', "port": 1}))) == {
        "password": "***",
        "port": 1,
    }


def test_a_key_can_name_a_secret():
    assert all(
        names_a_secret(key)
        for key in ("password", "DB_PASSWORD", "api_key", "apiKey", "webhook_secret")
    )
    assert not any(
        names_a_secret(key) for key in ("pid", "queued", "sequence", "patch_id", "key", "passed")
    )


PARTS = st.sampled_from(
    [
        "password",
        "token",
        "=",
        ":",
        " ",
        '"',
        "'",
        "\\",
        "://",
        "@",
        "a",
        "Bearer ",
        "***",
        "\n",
        "-",
        "_",
        "aB3" * 9,
    ]
)


@given(st.lists(PARTS, max_size=25).map("".join) | st.text())
def test_a_second_call_changes_nothing(text):
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "password=",
        'token="',
        "://",
        "a.",
        "a:",
        "-",
        "-----BEGIN PRIVATE KEY-----",
        "aB3",
        "\\",
        "Bearer ",
        "'\\",
    ],
)
def test_a_megabyte_takes_bounded_processor_time(piece):
    text = piece * (1_000_000 // len(piece))
    began = time.thread_time()
    redact(text)
    assert time.thread_time() - began < 5.0

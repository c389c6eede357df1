from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Never

import pytest

from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.monitor.sanitizing import read_safely


def raising(error: BaseException) -> Callable[[], Never]:
    def read() -> Never:
        raise error

    return read


def endless(depth: int = 0) -> int:
    return endless(depth + 1) + 1


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def cycle() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    return loop


def returning(data: Any, **others: Any) -> Callable[[], Reading]:
    return lambda: Reading(CheckStatus.OK, "well", data=data, **others)


@pytest.mark.parametrize(
    "read",
    [
        raising(ValueError("secret")),
        raising(SystemExit(3)),
        raising(KeyboardInterrupt()),
        raising(MemoryError()),
        raising(GeneratorExit()),
        raising(Unprintable()),
        endless,
    ],
    ids=lambda read: getattr(read, "__name__", ""),
)
def test_every_exception_of_a_check_becomes_an_unknown_reading(read):
    reading = read_safely(read, "part")
    assert (reading.status, reading.code) == (CheckStatus.UNKNOWN, "raised")


@pytest.mark.parametrize(
    "read",
    [
        lambda: None,
        lambda: b"ok",
        lambda: float("nan"),
        lambda: {"status": "ok"},
        returning({"x": float("nan")}),
        returning({"x": float("inf")}),
        returning({"x": b"bytes"}),
        returning({"x": 10**400}),
        returning({"x": {1, 2}}),
        returning({1: "one"}),
        returning([1]),
        returning(cycle()),
        returning({"x": "x" * 10_000_000}),
        returning({"x": list(range(1_000_000))}),
        returning({str(number): 1 for number in range(100_000)}),
        returning({"x" * 10_000_000: 1}),
        lambda: Reading("ok", "well"),  # type: ignore[arg-type]
        lambda: Reading(CheckStatus.OK, "Not a code, but /a/path"),
        lambda: Reading(CheckStatus.OK, None),  # type: ignore[arg-type]
        returning({}, message=b"bytes"),
        returning({}, fact="yes"),
    ],
)
def test_a_result_that_cannot_be_shown_becomes_an_unknown_reading(read):
    reading = read_safely(read, "part")
    assert (reading.status, reading.code) == (CheckStatus.UNKNOWN, "unfit")
    assert json.dumps(dict(reading.data), allow_nan=False) == "{}"


def test_long_text_is_cut():
    reading = read_safely(returning({}, message="x" * 10_000_000, remedy="y" * 10_000_000), "part")
    assert (reading.status, len(reading.message), len(reading.remedy)) == (CheckStatus.OK, 500, 500)


def test_a_valid_reading_is_copied_without_a_change():
    data = {"permits": 3, "load": [1.5, None], "nested": {"yes": True}}
    reading = read_safely(returning(data, message="fine", fact=True), "part")
    assert reading == Reading(CheckStatus.OK, "well", "fine", data, fact=True)
    data["nested"] = "changed later"
    assert reading.data["nested"] == {"yes": True}


def test_a_secret_is_hidden_in_texts_in_data_and_in_exceptions():
    data = {
        "url": "redis://:hunter2@cache:6379",
        "password": "hunter2",
        "tries": ["token=hunter2", 3],
    }
    reading = read_safely(
        returning(data, message="password=hunter2", remedy="log in with api_key: hunter2"), "part"
    )
    assert reading.data == {
        "url": "redis://***@cache:6379",
        "password": "***",
        "tries": ["token=***", 3],
    }
    assert (reading.message, reading.remedy) == ("password=***", "log in with api_key: ***")
    raised = read_safely(raising(ValueError("postgresql://app:hunter2@db/app " * 100)), "part")
    assert (
        raised.message.startswith("ValueError: postgresql://***@db/app")
        and len(raised.message) == 500
    )
    cut = read_safely(returning({}, message="x" * 490 + " password=" + "hunter2" * 100_000), "part")
    assert "hunter" not in cut.message


def test_the_data_of_fifty_repositories_fit():
    each = {"status": "ok", "code": "ok", "branch": "main", "message": ""}
    reading = read_safely(returning({"x" * 90 + str(number): each for number in range(50)}), "part")
    assert (reading.status, len(reading.data)) == (CheckStatus.OK, 50)

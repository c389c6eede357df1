from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Never

import pytest

from gpt_cursor_runner.health.monitor.model import Reading, Status
from gpt_cursor_runner.health.monitor.sanitizing import read_safely


def raising(error: BaseException) -> Callable[[], Never]:
    def read() -> Never:
        raise error

    return read


def endless(depth: int = 0) -> int:
    return endless(depth + 1) + 1


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def cycle() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    return loop


def said(data: Any, **others: Any) -> Callable[[], Reading]:
    return lambda: Reading(Status.OK, "well", data=data, **others)


@pytest.mark.parametrize(
    "read",
    [
        raising(ValueError("secret")),
        raising(SystemExit(3)),
        raising(KeyboardInterrupt()),
        raising(MemoryError()),
        raising(GeneratorExit()),
        raising(Mute()),
        endless,
    ],
    ids=lambda read: getattr(read, "__name__", ""),
)
def test_whatever_a_check_raises_becomes_an_unknown_reading(read):
    found = read_safely(read, "part")
    assert (found.status, found.code) == (Status.UNKNOWN, "raised")


@pytest.mark.parametrize(
    "read",
    [
        lambda: None,
        lambda: b"ok",
        lambda: float("nan"),
        lambda: {"status": "ok"},
        said({"x": float("nan")}),
        said({"x": float("inf")}),
        said({"x": b"bytes"}),
        said({"x": 10**400}),
        said({"x": {1, 2}}),
        said({1: "one"}),
        said([1]),
        said(cycle()),
        said({"x": "x" * 10_000_000}),
        said({"x": list(range(1_000_000))}),
        said({str(number): 1 for number in range(100_000)}),
        said({"x" * 10_000_000: 1}),
        lambda: Reading("ok", "well"),  # type: ignore[arg-type]
        lambda: Reading(Status.OK, "Not a code, but /a/path"),
        lambda: Reading(Status.OK, None),  # type: ignore[arg-type]
        said({}, message=b"bytes"),
        said({}, fact="yes"),
    ],
)
def test_what_cannot_be_shown_becomes_an_unknown_reading(read):
    found = read_safely(read, "part")
    assert (found.status, found.code) == (Status.UNKNOWN, "unfit")
    assert json.dumps(dict(found.data), allow_nan=False) == "{}"


def test_long_text_is_cut():
    found = read_safely(said({}, message="x" * 10_000_000, remedy="y" * 10_000_000), "part")
    assert (found.status, len(found.message), len(found.remedy)) == (Status.OK, 500, 500)


def test_a_good_reading_passes_whole_and_is_nobody_elses():
    mine = {"permits": 3, "load": [1.5, None], "nested": {"yes": True}}
    found = read_safely(said(mine, message="fine", fact=True), "part")
    assert found == Reading(Status.OK, "well", "fine", mine, fact=True)
    mine["nested"] = "changed later"
    assert found.data["nested"] == {"yes": True}


def test_a_secret_is_shown_neither_in_words_nor_in_data_nor_in_what_was_raised():
    data = {
        "url": "redis://:hunter2@cache:6379",
        "password": "hunter2",
        "tries": ["token=hunter2", 3],
    }
    found = read_safely(
        said(data, message="password=hunter2", remedy="log in with api_key: hunter2"), "part"
    )
    assert found.data == {
        "url": "redis://***@cache:6379",
        "password": "***",
        "tries": ["token=***", 3],
    }
    assert (found.message, found.remedy) == ("password=***", "log in with api_key: ***")
    raised = read_safely(raising(ValueError("postgresql://app:hunter2@db/app " * 100)), "part")
    assert (
        raised.message.startswith("ValueError: postgresql://***@db/app")
        and len(raised.message) == 500
    )
    cut = read_safely(said({}, message="x" * 490 + " password=" + "hunter2" * 100_000), "part")
    assert "hunter" not in cut.message


def test_what_fifty_repositories_have_to_say_fits():
    each = {"status": "ok", "code": "ok", "branch": "main", "message": ""}
    found = read_safely(said({"x" * 90 + str(number): each for number in range(50)}), "part")
    assert (found.status, len(found.data)) == (Status.OK, 50)

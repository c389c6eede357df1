from __future__ import annotations

from typing import Any

import click

from gpt_cursor_runner.cli.health_history import history_lines


def uptime(ratio: float | None) -> dict[str, Any]:
    return {window: {"ratio": ratio} for window in ("1h", "24h", "7d", "30d")}


def history(**others: Any) -> dict[str, Any]:
    strip = {
        "overall": ["ok", "ok", "warn"],
        "runner": [None, "ok", "fail"],
        "disk": ["unknown", "ok", "ok"],
    }
    body = {
        "flips": [],
        "uptime": {"overall": uptime(0.99996), "runner": uptime(0.5), "disk": uptime(1.0)},
        "strip": {"seconds": 60, "since": "2026-08-01T12:00:00+00:00", "checks": strip},
    }
    return body | others


def lines(body: dict[str, Any]) -> list[str]:
    return [click.unstyle(line) for line in history_lines(body)]


def test_every_check_has_a_strip_after_the_overall_one():
    shown = lines(history())
    assert [line.split()[:2] for line in shown[1:4]] == [
        ["overall", "▁▁▃"],
        ["disk", "▆▁▁"],
        ["runner", "·▁█"],
    ]


def test_a_share_is_never_rounded_up_to_100_percent():
    shown = {line.split()[0]: line.split()[2] for line in lines(history())[1:4]}
    assert shown == {"overall": "<100%", "disk": "100.00%", "runner": "50.00%"}


def test_an_unobserved_window_has_no_share():
    body = history(uptime={})
    assert lines(body)[1].split()[2:] == ["-"] * 4


def test_the_last_flips_are_listed_with_the_state_before():
    flip = {"at": "2026-08-01T12:00:00+00:00", "check": "runner", "status": "fail", "code": "down"}
    before = {"status": "ok", "code": "up"}
    shown = lines(history(flips=[{**flip, "before": before}, {**flip, "before": None}]))
    assert shown[-2].endswith("runner: ok (up) -> fail (down)")
    assert shown[-1].endswith("runner: not observed before -> fail (down)")


def test_a_gateway_without_history_is_reported():
    body = history(strip={"seconds": 60, "since": "", "checks": {}})
    assert lines(body) == ["nothing is recorded yet; the gateway records every minute"]

"""The text of `gcr health --history`: a strip per check, its uptime, and the
latest changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import click

from gpt_cursor_runner.cli.output import plain
from gpt_cursor_runner.system.clock import format_local, parse_rfc3339

# A taller bar is a worse state, so that a strip can be read without colours.
_BARS = {"ok": "▁", "warn": "▃", "unknown": "▆", "fail": "█"}
_COLOURS = {"ok": "green", "warn": "yellow", "unknown": "magenta", "fail": "red"}
_NOT_OBSERVED = "·"
_UNITS = {60: "minutes"}
_WINDOWS = ("1h", "24h", "7d", "30d")
_LEGEND = (
    "▁ ok   ▃ warn   ▆ unknown   █ fail   · not observed;  percentages are of the observed time"
)


def history_lines(body: Mapping[str, Any]) -> list[str]:
    """The lines to print for an answer of `/health/history`."""
    strips: dict[str, list[str | None]] = body["strip"]["checks"]
    if not strips:
        return ["nothing is recorded yet; the gateway records every minute"]
    name_width = max(map(len, strips))
    length = max(map(len, strips.values()))
    unit = _UNITS.get(body["strip"]["seconds"], "hours")
    head = f"last {length} {unit}".ljust(length)
    lines = [f"{'':{name_width}}  {head}  {_columns(_WINDOWS)}"]
    # The overall state first, then the checks by name.
    for name in sorted(strips, key=lambda name: (name != "overall", name)):
        uptime = body["uptime"].get(name, {})
        lines.append(f"{name:{name_width}}  {_strip(strips[name])}  {_percentages(uptime)}")
    lines += ["", _LEGEND]
    if body["flips"]:
        lines.append("")
        lines += map(_flip_line, body["flips"])
    return lines


def _columns(cells: Sequence[str]) -> str:
    return "  ".join(f"{cell:>7}" for cell in cells)


def _strip(states: Sequence[str | None]) -> str:
    text = ""
    # One colour code per run of equal states keeps the line short.
    for state, run in groupby(states):
        bars = _BARS.get(state or "", _NOT_OBSERVED) * len(list(run))
        text += click.style(bars, fg=_COLOURS.get(state or ""))
    return text


def _percentages(uptime: Mapping[str, Any]) -> str:
    return _columns([_percentage(uptime.get(window)) for window in _WINDOWS])


def _percentage(uptime: Mapping[str, Any] | None) -> str:
    if not uptime or uptime["ratio"] is None:
        return "-"
    text = f"{100 * uptime['ratio']:.2f}%"
    # Rounding must not hide an outage.
    if text == "100.00%" and uptime["ratio"] < 1:
        return "<100%"
    return text


def _flip_line(flip: Mapping[str, Any]) -> str:
    moment = format_local(parse_rfc3339(flip["at"]))
    before = "not observed before"
    if flip["before"]:
        before = f"{flip['before']['status']} ({flip['before']['code']})"
    return plain(f"{moment}  {flip['check']}: {before} -> {flip['status']} ({flip['code']})")

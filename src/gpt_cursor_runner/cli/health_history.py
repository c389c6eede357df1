"""The history of health for people: a strip per check, how much of the time it
was well, and what changed last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import click

from gpt_cursor_runner.cli.output import plain
from gpt_cursor_runner.system.clock import format_local, parse_rfc3339

# Taller is worse, so that a strip can be read without its colours.
_SHOWN = {
    "ok": ("▁", "green"),
    "warn": ("▃", "yellow"),
    "unknown": ("▆", "magenta"),
    "fail": ("█", "red"),
}
_NOBODY_LOOKED = ("·", None)
_WINDOWS = ("1h", "24h", "7d", "30d")


def past(body: Mapping[str, Any]) -> list[str]:
    """The lines of an answer of `/health/history`."""
    strip = body["strip"]
    names = sorted(strip["checks"], key=lambda name: (name != "overall", name))
    if not names:
        return ["nothing was recorded yet; the gateway writes down every minute"]
    width, length = max(map(len, names)), max(len(one) for one in strip["checks"].values())
    unit = "minutes" if strip["seconds"] == 60 else "hours"
    head = f"last {length} {unit}".ljust(length)
    lines = [f"{'':{width}}  {head}  {'  '.join(f'{window:>7}' for window in _WINDOWS)}"]
    for name in names:
        shares = "  ".join(
            f"{_share(body['uptime'].get(name, {}).get(window)):>7}" for window in _WINDOWS
        )
        lines.append(f"{name:{width}}  {_strip(strip['checks'][name])}  {shares}")
    lines += [
        "",
        (
            "▁ ok   ▃ warn   ▆ unknown   █ fail   · nobody looked;  shares are of the time that"
            " somebody looked"
        ),
    ]
    return [*lines, *(["", *_flips(body["flips"])] if body["flips"] else [])]


def _strip(states: Sequence[str | None]) -> str:
    cells = (_SHOWN.get(state or "", _NOBODY_LOOKED) for state in states)
    runs = (
        (colour, "".join(sign for sign, _ in run))
        for colour, run in groupby(cells, key=itemgetter(1))
    )
    return "".join(click.style(signs, fg=colour) for colour, signs in runs)


def _share(uptime: Mapping[str, Any] | None) -> str:
    ratio = uptime["ratio"] if uptime else None
    if ratio is None:
        return "-"
    percent = f"{100 * ratio:.2f}%"
    return "<100%" if percent == "100.00%" and ratio < 1 else percent


def _flips(flips: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        plain(
            f"{_local(one['at'])}  {one['check']}: {_said(one['before'])} -> {one['status']}"
            f" ({one['code']})"
        )
        for one in flips
    ]


def _said(before: Mapping[str, Any] | None) -> str:
    return f"{before['status']} ({before['code']})" if before else "not seen before"


def _local(moment: str) -> str:
    return format_local(parse_rfc3339(moment))

"""The promises of the planner that must hold for every input, checked from
outside.
"""

from __future__ import annotations

import json
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.sniffing import sniff
from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.patch.faults import PatchRefused
from gpt_cursor_runner.patch.model import Tolerance
from gpt_cursor_runner.patch.outcome import Rejected
from gpt_cursor_runner.patch.parsing import Parsed, Unreadable, parse_patch, read_json
from gpt_cursor_runner.patch.paths import parse_path
from tests.formats.builders import MemoryTree
from tests.fuzzing.inputs import Files, Input

# of processor time for each plan of an input up to a megabyte, and for each
# megabyte beyond
SECONDS = 2.0
_ROOM = 100_000_000  # bytes that any plan may take; beyond it 20 times the input
TOLERANCES: tuple[Tolerance, ...] = ("strict", "standard", "merge")
_CODES = frozenset(
    {
        "malformed",
        "truncated",
        "no_match",
        "ambiguous",
        "already_applied",
        "no_op",
        "missing_file",
        "exists",
    }
    | {
        "not_a_file",
        "binary",
        "encoding",
        "path_escape",
        "protected_path",
        "base_mismatch",
        "conflict",
    }
    | {"too_large", "limit"}
)


class Broken(Exception):
    """A promise that did not hold."""


@dataclass(frozen=True)
class Checked:
    """`seconds` is the slowest plan's; `accepted` counts the tolerances that
    took the patch.
    """

    seconds: float
    accepted: int


def check(given: Input) -> Checked:
    """Plan an input at every tolerance; raise Broken, or any exception that
    escapes the planner.
    """
    for change in given.changes:
        if isinstance(change, dict) and isinstance(change.get("text"), str):
            _sniffed(change["text"])
    parsed = _parsed(given)
    if parsed is None:
        return Checked(0, 0)
    seconds, plans = 0.0, list[Plan | None]()
    for tolerance in TOLERANCES:
        began, before = time.process_time(), _forget_peak()
        plans.append(_planned(given, parsed, tolerance))
        seconds = max(seconds, time.process_time() - began)
        _hold("memory", _peak() - before, _ROOM + 20 * given.size)
    _hold("processor seconds", seconds, SECONDS * max(1, given.size / 1e6))
    for plan, tolerance, wider in zip(plans, TOLERANCES, plans[1:], strict=False):
        if plan is None:
            continue
        if wider is None:
            raise Broken(f"what {tolerance} accepts, the next tolerance refuses")
        if wider.actions != plan.actions:
            raise Broken(f"what {tolerance} accepts, the next tolerance does otherwise")
    return Checked(seconds, sum(plan is not None for plan in plans))


def _parsed(given: Input) -> Parsed | None:
    """The changes as the gateway reads them; None when the body is not a JSON
    object.
    """
    body = {"id": "fuzz", "title": "fuzz", "changes": list(given.changes)}
    try:
        parsed = parse_patch(read_json(json.dumps(body).encode()))
    except Unreadable:
        return None
    for fault in parsed.faults:
        json.dumps(fault.to_json()).encode()
    return parsed


def _planned(given: Input, parsed: Parsed, tolerance: Tolerance) -> Plan | None:
    tree = MemoryTree(given.files, given.others, given.blobs)
    try:
        plan = make_plan(parsed.sound, tree, tolerance)
    except PatchRefused as refused:
        _check_refusal(refused)
        return None
    _check_plan(plan, given, tree)
    if (
        given.wanted is not None
        and parsed.patch
        and _after(given.files, plan) != _present(given.wanted)
    ):
        raise Broken(f"a third tree at {tolerance}")
    return plan


def _check_refusal(refused: PatchRefused) -> None:
    answer = json.dumps(Rejected.of(refused).to_json(), ensure_ascii=False).encode()
    if not refused.faults:
        raise Broken("a refusal without a fault")
    for fault in refused.faults:
        if fault.code not in _CODES or not fault.message or not fault.next_step:
            raise Broken(
                f"a fault with code {fault.code!r}, message {fault.message!r}, next step"
                f" {fault.next_step!r}"
            )
    if len(answer) > 20_000 * len(refused.faults) + 500 * len(refused.good):
        raise Broken(f"a refusal of {len(answer)} bytes for {len(refused.faults)} faults")


def _check_plan(plan: Plan, given: Input, tree: MemoryTree) -> None:
    for action in plan.actions:
        if parse_path(action.path) != action.path:
            raise Broken(f"a path that is none: {action.path!r}")
        parts = action.path.split("/")
        for depth in range(1, len(parts) + 1):
            if given.others.get("/".join(parts[:depth])) in ("symlink", "submodule"):
                raise Broken(f"{action.path!r} is, or passes through, a link")
        if action.before is not None and action.before.data != tree.files.get(action.path):
            raise Broken(f"{action.path!r} is said to have held something else")
        if action.before == action.after:
            raise Broken(f"{action.path!r} is said to change and does not")


def _after(files: Files, plan: Plan) -> dict[str, bytes]:
    after = dict(files)
    for action in plan.actions:
        after.pop(action.path, None)
        if action.after:
            after[action.path] = action.after.data
    return _present(after)


def _present(files: Files) -> dict[str, bytes]:
    """An empty file and a missing one count as equal: not every format can
    distinguish them.
    """
    return {path: data for path, data in files.items() if data}


def _sniffed(text: str) -> Any:
    began = time.process_time()
    try:
        sniff(text)
    except PatchRefused as refused:
        _check_refusal(refused)
    _hold(
        "processor seconds for sniffing",
        time.process_time() - began,
        SECONDS * max(1, len(text) / 1e6),
    )


def _hold(what: str, figure: float, most: float) -> None:
    if figure > most:
        raise Broken(f"{what}: {figure:.3g}, where {most:.3g} is the most")


def _forget_peak() -> int:
    """Reset the kernel's peak of memory; returns the bytes in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    if Path("/proc/self/status").exists():
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int:
    match = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if match is None:
        return 0
    return int(match[1]) * 1024

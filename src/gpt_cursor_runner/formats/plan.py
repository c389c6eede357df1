"""The planner: a patch's changes and a tree become one plan, or every fault in
them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpt_cursor_runner.formats.catalogue import FORMATS
from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.limits import Patience
from gpt_cursor_runner.formats.matching.ladder import ladder
from gpt_cursor_runner.formats.tree import Plan, Tree
from gpt_cursor_runner.formats.virtual_tree import VirtualTree
from gpt_cursor_runner.patch.model import Change, Tolerance
from gpt_cursor_runner.patch.outcome import Fault, PatchRefused


def make_plan(changes: Sequence[tuple[int, Change]], tree: Tree, tolerance: Tolerance) -> Plan:
    """Plan changes, each with its index in the patch, in order; several changes
    to one file build on one another.

    Raises PatchRefused with the faults of every change and the hunks that were
    good. A change to a file on which an earlier one failed is not judged, and
    the earlier fault says so. Nothing is written.
    """
    virtual = VirtualTree(tree)
    rungs, patience = ladder(tolerance), Patience()
    drafts = []
    for index, change in changes:
        draft = Draft(index, virtual, rungs, patience, merges=tolerance == "merge")
        FORMATS[change.type](change, draft)
        drafts.append(draft)
    good = tuple(hunk for draft in drafts for hunk in draft.placed)
    if faults := _faults(drafts):
        raise PatchRefused(faults, good)
    actions = virtual.actions()
    if not actions:
        raise PatchRefused([fault for draft in drafts for fault in draft.idle] or [_NOTHING], good)
    return Plan(actions, good)


_NOTHING = Fault(
    "no_op",
    "all changes together leave every file as it is",
    "Send changes that have an effect, or nothing at all.",
    pointer="/changes",
)


def _faults(drafts: Sequence[Draft]) -> list[Fault]:
    """Every fault; the last one of a change also names the later changes that
    could not be judged because of it.
    """
    skipped: dict[int, list[int]] = {}
    for draft in drafts:
        if draft.skipped_after is not None:
            skipped.setdefault(draft.skipped_after, []).append(draft.change)
    found = []
    for draft in drafts:
        for number, fault in enumerate(draft.faults, 1):
            waiting = skipped.get(draft.change, []) if number == len(draft.faults) else []
            found.append(_with_waiting(fault, waiting))
    return found


def _with_waiting(fault: Fault, waiting: Sequence[int]) -> Fault:
    if not waiting:
        return fault
    which = "changes " if len(waiting) > 1 else "change "
    listed = ", ".join(f"/changes/{index}" for index in waiting)
    return replace(
        fault, next_step=f"{fault.next_step} Not judged, since it builds on this: {which}{listed}."
    )

"""The planner: a patch's changes and a tree become one plan, or every fault in
them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpt_cursor_runner.formats.catalogue import FORMATS
from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.limits import Budget
from gpt_cursor_runner.formats.matching.ladder import allowed_rungs
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
    rungs, budget = allowed_rungs(tolerance), Budget()
    plans = []
    for index, change in changes:
        plan = ChangePlan(index, virtual, rungs, budget, may_merge=tolerance == "merge")
        FORMATS[change.type](change, plan)
        plans.append(plan)
    good = tuple(hunk for plan in plans for hunk in plan.placed_hunks)
    if faults := _faults(plans):
        raise PatchRefused(faults, good)
    actions = virtual.actions()
    if not actions:
        raise PatchRefused(
            [fault for plan in plans for fault in plan.no_effect] or [_NOTHING], good
        )
    return Plan(actions, good)


_NOTHING = Fault(
    "no_op",
    "all changes together leave every file as it is",
    "Send changes that have an effect, or nothing at all.",
    pointer="/changes",
)


def _faults(plans: Sequence[ChangePlan]) -> list[Fault]:
    """Every fault; the last one of a change also names the later changes that
    could not be judged because of it.
    """
    skipped: dict[int, list[int]] = {}
    for plan in plans:
        if plan.skipped_after is not None:
            skipped.setdefault(plan.skipped_after, []).append(plan.change)
    found = []
    for plan in plans:
        for number, fault in enumerate(plan.faults, 1):
            waiting = skipped.get(plan.change, []) if number == len(plan.faults) else []
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

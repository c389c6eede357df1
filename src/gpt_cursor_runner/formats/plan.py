"""The planner: computes one plan from a patch's changes and a tree, or reports
all their faults at once.
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
from gpt_cursor_runner.patch.faults import Fault, PatchRefused, PlacedHunk
from gpt_cursor_runner.patch.model import Change, Tolerance

_NO_EFFECT = Fault(
    "no_op",
    "all changes together leave every file as it is",
    "Send changes that have an effect, or no patch.",
    pointer="/changes",
)


def make_plan(changes: Sequence[tuple[int, Change]], tree: Tree, tolerance: Tolerance) -> Plan:
    """Plan changes, each with its index in the patch, in order; several changes
    to one file build on one another. Nothing is written.

    Raises PatchRefused with the faults of every change and the hunks that were
    placed. A change to a file on which an earlier one failed is not checked,
    and the fault of the earlier one mentions it.
    """
    virtual = VirtualTree(tree)
    rungs, budget = allowed_rungs(tolerance), Budget()
    plans: list[ChangePlan] = []
    placed: list[PlacedHunk] = []
    for index, change in changes:
        plan = ChangePlan(index, virtual, rungs, budget, may_merge=tolerance == "merge")
        # A change that fails does not end the loop: the sender shall get every
        # fault in one response.
        FORMATS[change.type](change, plan)
        plans.append(plan)
        placed += plan.placed_hunks
    if faults := _all_faults(plans):
        raise PatchRefused(faults, tuple(placed))
    actions = virtual.actions()
    if not actions:
        raise PatchRefused(_idle_faults(plans) or [_NO_EFFECT], tuple(placed))
    return Plan(actions, tuple(placed))


def _idle_faults(plans: Sequence[ChangePlan]) -> list[Fault]:
    faults: list[Fault] = []
    for plan in plans:
        faults += plan.no_effect
    return faults


def _all_faults(plans: Sequence[ChangePlan]) -> list[Fault]:
    """Every fault. The last one of each change lists the later changes that
    could not be checked because of it.
    """
    skipped = _skipped_changes(plans)
    faults: list[Fault] = []
    for plan in plans:
        faults += plan.faults
        if plan.faults and plan.change in skipped:
            faults[-1] = _with_skipped(faults[-1], skipped[plan.change])
    return faults


def _skipped_changes(plans: Sequence[ChangePlan]) -> dict[int, list[int]]:
    """The changes that were skipped after each change."""
    skipped: dict[int, list[int]] = {}
    for plan in plans:
        if plan.skipped_after is not None:
            skipped.setdefault(plan.skipped_after, []).append(plan.change)
    return skipped


def _with_skipped(fault: Fault, skipped: Sequence[int]) -> Fault:
    noun = "changes" if len(skipped) > 1 else "change"
    listed = ", ".join(f"/changes/{index}" for index in skipped)
    step = f"{fault.next_step} Not checked, since it builds on this change: {noun} {listed}."
    return replace(fault, next_step=step)

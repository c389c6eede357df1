"""Decides which plans wait for a person: the owner's approval rule and the
protected paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import pathspec

from gpt_cursor_runner.config import Approval, Setup
from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.patch.faults import ApprovalRule, HumanNeeded
from gpt_cursor_runner.patch.paths import fold_path

_LISTED_PATHS = 5


def require_approval(plan: Plan, approval: Approval, protected: Sequence[str]) -> None:
    """Raise HumanNeeded when the owner has to approve this plan before it lands."""
    touched = protected_paths(plan, protected)
    if approval == "always":
        reason = "the owner approves every patch of this repository"
    elif approval == "protected" and touched:
        reason = f"the patch touches protected paths: {_listed(touched)}"
    else:
        return
    raise HumanNeeded(
        "needs_approval",
        reason,
        "Look at the diff, then approve or reject.",
        ApprovalRule(tuple(touched)),
    )


def require_setup_approval(plan: Plan, setups: Sequence[Setup], approval: Approval) -> None:
    """Raise HumanNeeded when the plan changes a file that a setup command
    depends on: the command would run on it with the network that it has.
    """
    keyed = [f"/{path}" for setup in setups for path in setup.keyed_by]
    touched = protected_paths(plan, keyed)
    if approval == "never" or not touched:
        return
    raise HumanNeeded(
        "needs_approval",
        f"the patch changes what the setup commands install from: {_listed(touched)}",
        "Look at the diff, then approve or reject.",
        ApprovalRule(tuple(touched)),
    )


def protected_paths(plan: Plan, patterns: Sequence[str]) -> list[str]:
    """The paths of the plan that match a pattern. A pattern has the form of a
    line in .gitignore and ignores case.
    """
    spec = pathspec.PathSpec.from_lines("gitignore", [fold_path(pattern) for pattern in patterns])
    return [action.path for action in plan.actions if spec.match_file(fold_path(action.path))]


def _listed(paths: Sequence[str]) -> str:
    text = ", ".join(paths[:_LISTED_PATHS])
    if len(paths) > _LISTED_PATHS:
        text += f" and {len(paths) - _LISTED_PATHS} more"
    return text

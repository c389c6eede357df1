"""Decides which plans wait for a person: the owner's approval rule and the
protected paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import pathspec

from gpt_cursor_runner.config import Approval
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

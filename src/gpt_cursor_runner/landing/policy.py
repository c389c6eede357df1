"""Which plans wait for a person: the owner's approval rule and the protected
paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import pathspec

from gpt_cursor_runner.config import Approval
from gpt_cursor_runner.formats.tree import Plan
from gpt_cursor_runner.patch.faults import ApprovalRule, HumanNeeded
from gpt_cursor_runner.patch.paths import fold_path

_NAMED = 5


def require_approval(plan: Plan, approval: Approval, protected: Sequence[str]) -> None:
    """Raise HumanNeeded when the owner wants to see this plan before it lands."""
    touched = protected_paths(plan, protected)
    if approval == "never" or (approval == "protected" and not touched):
        return
    more = f" and {len(touched) - _NAMED} more" if len(touched) > _NAMED else ""
    reason = f"the patch touches protected paths: {', '.join(touched[:_NAMED])}{more}"
    if approval == "always":
        reason = "the owner approves every patch of this repository"
    raise HumanNeeded(
        "needs_approval",
        reason,
        "Look at the diff, then approve or reject.",
        ApprovalRule(tuple(touched)),
    )


def protected_paths(plan: Plan, patterns: Sequence[str]) -> list[str]:
    """The paths of the plan that match a pattern, which reads like a line of
    .gitignore and knows no case.
    """
    spec = pathspec.PathSpec.from_lines("gitignore", [fold_path(pattern) for pattern in patterns])
    return [action.path for action in plan.actions if spec.match_file(fold_path(action.path))]

"""The owner's checks on the branch as it stands: what fails there would be
blamed on every patch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gpt_cursor_runner.landing.checking import CheckOrder, CheckResult, run_check
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.sandbox import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace


def rehearse(
    git: Git, branch: str, orders: Sequence[CheckOrder], sandbox: Sandbox, place: Path
) -> Iterator[CheckResult]:
    """Run each check on the tip's tree in a workspace at `place`; raise
    WorldFailed when that cannot be done.
    """
    with Workspace(place) as workspace:
        workspace.fill(git, git.line("rev-parse", f"{git.tip(branch)}^{{tree}}"))
        for order in orders:
            yield run_check(
                order, workspace, sandbox, workspace.directory / f"{order.name}.log", lambda: None
            )

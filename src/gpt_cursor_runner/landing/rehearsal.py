"""The owner's checks on the branch as it stands: a check that fails there would
fail every patch.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpt_cursor_runner.landing.checking import CheckResult, run_check
from gpt_cursor_runner.landing.preparing import Preparation
from gpt_cursor_runner.landing.workspace import Workspace


def rehearse(preparation: Preparation, tree: str) -> Iterator[CheckResult]:
    """Run each check on a tree.

    Raises SetupFailed, and WorldFailed when that cannot be done.
    """
    sandbox = preparation.sandbox
    with Workspace(preparation.workspace, sandbox.user) as workspace:
        mounts = preparation.prepare(workspace, tree)
        for check in preparation.repository.checks:
            log = workspace.directory / f"{check.name}.log"
            seen = (*mounts, *preparation.mounts_of(check))
            yield run_check(check, workspace, sandbox, log, preparation.tick, seen)

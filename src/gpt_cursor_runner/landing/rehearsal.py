"""The owner's checks on the branch as it stands: a check that fails there would
fail every patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpt_cursor_runner.landing.checking import CheckResult, run_check
from gpt_cursor_runner.landing.preparing import Preparation
from gpt_cursor_runner.landing.workspace import Workspace


def rehearse(preparation: Preparation, tree: str, logs: Path) -> Iterator[CheckResult]:
    """Run each check on a tree, with its output in `logs`.

    Raises SetupFailed, and WorldFailed when that cannot be done.
    """
    sandbox = preparation.sandbox
    with Workspace(preparation.workspace, sandbox.user) as workspace:
        mounts = preparation.prepare(workspace, tree)
        for check in preparation.repository.checks:
            log = logs / f"{check.name}.log"
            seen = (*mounts, *preparation.mounts_of(check))
            yield run_check(check, workspace, sandbox, log, preparation.tick, seen)

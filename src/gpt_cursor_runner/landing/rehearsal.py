"""The owner's checks on the branch as it stands: a check that fails there would
fail every patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.landing.checking import CheckResult, run_check
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.sandbox import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace


def rehearse(
    git: Git, repository: Repository, sandbox: Sandbox, place: Path
) -> Iterator[CheckResult]:
    """Run each check on the tip's tree in a workspace at `place`; raise
    WorldFailed when that cannot be done.
    """
    with Workspace(place) as workspace:
        workspace.fill(git, git.line("rev-parse", f"{git.tip(repository.branch)}^{{tree}}"))
        for check in repository.checks:
            log = workspace.directory / f"{check.name}.log"
            yield run_check(check, workspace, sandbox, log, lambda: None)

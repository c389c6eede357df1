"""The owner's checks on the branch as it stands: a check that fails there would
fail every patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpt_cursor_runner.landing.checking import CheckResult
from gpt_cursor_runner.landing.preparing import Preparation


def rehearse(preparation: Preparation, tree: str, commit: str, logs: Path) -> Iterator[CheckResult]:
    """Run each check on a tree, with the history of a commit and its output in
    `logs`.

    Raises SetupFailed, and WorldFailed when that cannot be done.
    """
    with preparation.open(tree, commit) as ready:
        for check in preparation.repository.checks:
            yield ready.run(check, logs / f"{check.name}.log")

"""Runs the checks of a repository on its branch, and on the branch without its
sources, for `gcr doctor --checks` and `gcr init`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gpt_cursor_runner.cli.finding import Finding
from gpt_cursor_runner.config import Check, Config, Repository, search_path
from gpt_cursor_runner.landing.checking import CheckResult, readable_tail
from gpt_cursor_runner.landing.checkouts import work_trees
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.hollow import hollow_tree, is_linter
from gpt_cursor_runner.landing.preparing import Preparation, PreparedLayer, SetupFailed, Stores
from gpt_cursor_runner.landing.rehearsal import rehearse
from gpt_cursor_runner.landing.sandbox.choosing import Proof, sandbox_for
from gpt_cursor_runner.patch.faults import WorldFailed

_EXCERPT_LINES = 12
_WHY = "a check that fails here fails for every patch"
_WHY_HOLLOW = "a check must notice when the code is gone"


def rehearsal_findings(config: Config, repository: Repository, proof: Proof) -> Iterator[Finding]:
    """The findings about the checks of one repository."""
    name = f"checks {repository.name}"
    logs = config.state.logs_dir / "doctor" / repository.name
    try:
        rehearsal = run_rehearsal(config, repository, proof, logs)
    except SetupFailed as failed:
        log = keep_setup_log(logs, failed)
        output = readable_tail(failed.ended.output)
        yield Finding(name, "FAIL", f"{failed}{_indented(output)}", _WHY, f"less {log}")
        return
    except WorldFailed as error:
        yield Finding(name, "FAIL", error.message, _WHY, error.next_step)
        return
    for result in rehearsal.on_branch:
        yield _branch_finding(repository, result, logs)
    yield from _hollow_findings(name, repository.checks, rehearsal)


def keep_setup_log(logs: Path, failed: SetupFailed) -> Path:
    """Store the output of a setup command that failed."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / "setup.log"
    log.write_bytes(failed.ended.output)
    return log


def last_lines(output: str) -> list[str]:
    lines = output.strip().splitlines()[-_EXCERPT_LINES:]
    return lines or ["it printed nothing"]


class Watcher(Protocol):
    """Follows the steps of a rehearsal."""

    def setup_ended(self, layer: PreparedLayer) -> None: ...

    def check_ended(self, result: CheckResult, is_hollow: bool) -> None: ...


class _Unwatched:
    def setup_ended(self, layer: PreparedLayer) -> None:
        """Nothing is shown."""

    def check_ended(self, result: CheckResult, is_hollow: bool) -> None:
        """Nothing is shown."""


@dataclass(frozen=True)
class Rehearsal:
    """The results of the checks on the branch, and on the hollow tree; the
    second are empty when one of the first did not pass.
    """

    on_branch: tuple[CheckResult, ...]
    on_hollow: tuple[CheckResult, ...] = ()

    @property
    def passes_on_branch(self) -> bool:
        return all(result.status == "passed" for result in self.on_branch)

    @property
    def notices_hollow(self) -> bool:
        """Whether a required check fails without the sources."""
        return any(result.required and result.status != "passed" for result in self.on_hollow)


def run_rehearsal(
    config: Config,
    repository: Repository,
    proof: Proof,
    logs: Path,
    watcher: Watcher = _Unwatched(),  # noqa: B008  it has no state
) -> Rehearsal:
    """Run the setup commands and checks of a repository, with the output of
    each check in `logs`.

    Raises SetupFailed, and WorldFailed when the checks cannot be run.
    """
    git = Git.at(repository.path, search_path())
    tip = git.tip(repository.branch)
    tree = git.line("rev-parse", f"{tip}^{{tree}}")
    with _preparation(config, repository, git, proof, watcher) as preparation:
        on_branch = []
        for result in rehearse(preparation, tree, tip, logs):
            watcher.check_ended(result, is_hollow=False)
            on_branch.append(result)
        rehearsal = Rehearsal(tuple(on_branch))
        if not rehearsal.passes_on_branch:
            return rehearsal
        on_hollow = []
        with hollow_tree(git, tree, repository.setup) as (hollow_git, hollow):
            hollow_preparation = replace(preparation, git=hollow_git)
            for result in rehearse(hollow_preparation, hollow, tip, logs / "hollow"):
                watcher.check_ended(result, is_hollow=True)
                on_hollow.append(result)
    return replace(rehearsal, on_hollow=tuple(on_hollow))


@contextmanager
def _preparation(
    config: Config, repository: Repository, git: Git, proof: Proof, watcher: Watcher
) -> Iterator[Preparation]:
    """The means to prepare workspaces apart from those of the runner."""
    sandbox = sandbox_for(repository, proof, search_path(), work_trees(git))
    config.state.trials_dir.mkdir(parents=True, exist_ok=True)
    # On the disk of the state directory, since the layers are moved from there.
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=config.state.trials_dir) as place:
        directory = Path(place)
        # The runner may work over its own files of the branch meanwhile.
        stores = replace(Stores.of(config.state, repository), pristine=directory / "pristine")
        yield Preparation(
            repository=repository,
            git=git,
            sandbox=sandbox,
            stores=stores,
            workspace=directory / "workspace",
            tick=lambda: None,
            report=watcher.setup_ended,
        )


def _branch_finding(repository: Repository, result: CheckResult, logs: Path) -> Finding:
    name = f"checks {repository.name}"
    fact = f"{result.name} {result.status} on {repository.branch} in {result.seconds:.1f} s"
    if result.status == "passed":
        return Finding(name, "PASS", fact, _WHY)
    log = logs / f"{result.name}.log"
    mend = f"mend the branch, or the check in runner.toml; its output: {log}"
    fact += _indented(result.tail)
    return Finding(name, "FAIL" if result.required else "WARN", fact, _WHY, mend)


def _hollow_findings(name: str, checks: Sequence[Check], rehearsal: Rehearsal) -> Iterator[Finding]:
    """Compare the checks on the branch with those on the tree without sources."""
    if not rehearsal.on_hollow:
        return
    for check, result in zip(checks, rehearsal.on_hollow, strict=True):
        if result.status != "passed":
            continue
        if is_linter(check):
            fact = f"{check.name} reads the code and does not run it"
            yield Finding(name, "PASS", fact, _WHY_HOLLOW)
        else:
            fact = f"{check.name} does not notice that the code is gone"
            mend = "let it run tests of the sources"
            yield Finding(name, "WARN", fact, _WHY_HOLLOW, mend)
    if rehearsal.notices_hollow:
        yield Finding(name, "PASS", "a required check fails without the sources", _WHY_HOLLOW)
    else:
        fact = "no required check fails when every source file is empty"
        yield Finding(name, "FAIL", fact, _WHY_HOLLOW, "add a check that runs the tests")


def _indented(output: str) -> str:
    """The last lines of an output, below the fact."""
    return "".join(f"\n        {line}" for line in last_lines(output))

"""Runs the checks of a repository on its branch, and on the branch without its
sources, for `gcr doctor --checks` and `gcr init`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpt_cursor_runner.cli.finding import Finding
from gpt_cursor_runner.config import Check, Config, Repository, search_path
from gpt_cursor_runner.landing.checking import CheckResult
from gpt_cursor_runner.landing.checkouts import work_trees
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.hollow import hollow_tree, is_linter
from gpt_cursor_runner.landing.preparing import Preparation, SetupFailed, Stores
from gpt_cursor_runner.landing.rehearsal import rehearse
from gpt_cursor_runner.landing.sandbox.choosing import Proof, sandbox_for
from gpt_cursor_runner.patch.faults import WorldFailed

_EXCERPT_LINES = 12
_WHY = "a check that fails here fails for every patch"
_WHY_HOLLOW = "a check must notice when the code is gone"


def rehearsal_findings(config: Config, repository: Repository, proof: Proof) -> Iterator[Finding]:
    """The findings about the checks of one repository."""
    name = f"checks {repository.name}"
    try:
        rehearsal = run_rehearsal(config, repository, proof)
    except SetupFailed as failed:
        log = _keep_log(config, f"{repository.name}-setup", failed.ended.output)
        yield Finding(name, "FAIL", f"{failed}{_excerpt(failed.ended.output)}", _WHY, f"less {log}")
        return
    except WorldFailed as error:
        yield Finding(name, "FAIL", error.message, _WHY, error.next_step)
        return
    for result in rehearsal.on_branch:
        yield _branch_finding(config, repository, result)
    yield from _hollow_findings(name, repository.checks, rehearsal)


@dataclass(frozen=True)
class Rehearsal:
    """The results of the checks on the branch, and on the hollow tree; the
    second are empty when one of the first did not pass.
    """

    on_branch: tuple[CheckResult, ...]
    on_hollow: tuple[CheckResult, ...] = ()


def run_rehearsal(config: Config, repository: Repository, proof: Proof) -> Rehearsal:
    """Raises SetupFailed, and WorldFailed when the checks cannot be run."""
    git = Git.at(repository.path, search_path())
    tree = git.line("rev-parse", f"{git.tip(repository.branch)}^{{tree}}")
    sandbox = sandbox_for(repository, proof, search_path(), work_trees(git))
    stores = Stores.of(config.state, repository)
    config.state.workspaces_dir.mkdir(parents=True, exist_ok=True)
    # Beside the runner's workspaces, since the layers are moved from there.
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=config.state.workspaces_dir) as place:
        directory = Path(place)
        preparation = Preparation(
            repository=repository,
            git=git,
            sandbox=sandbox,
            # The runner may work over its own files of the branch meanwhile.
            stores=replace(stores, pristine=directory / "pristine"),
            workspace=directory / "workspace",
            tick=lambda: None,
        )
        on_branch = tuple(rehearse(preparation, tree))
        if any(result.status != "passed" for result in on_branch):
            return Rehearsal(on_branch)
        with hollow_tree(git, tree, repository.setup) as (hollow_git, hollow):
            on_hollow = tuple(rehearse(replace(preparation, git=hollow_git), hollow))
    return Rehearsal(on_branch, on_hollow)


def _branch_finding(config: Config, repository: Repository, result: CheckResult) -> Finding:
    name = f"checks {repository.name}"
    fact = f"{result.name} {result.status} on {repository.branch} in {result.seconds:.1f} s"
    if result.status == "passed":
        return Finding(name, "PASS", fact, _WHY)
    output = result.tail.encode()
    log = _keep_log(config, f"{repository.name}-{result.name}", output)
    mend = f"mend the branch, or the check in runner.toml; its output: {log}"
    return Finding(name, "FAIL" if result.required else "WARN", fact + _excerpt(output), _WHY, mend)


def _hollow_findings(name: str, checks: Sequence[Check], rehearsal: Rehearsal) -> Iterator[Finding]:
    """Compare the checks on the branch with those on the tree without sources."""
    if not rehearsal.on_hollow:
        return
    notices = False
    for check, result in zip(checks, rehearsal.on_hollow, strict=True):
        if result.status != "passed":
            notices = notices or check.required
        elif is_linter(check):
            fact = f"{check.name} reads the code and does not run it"
            yield Finding(name, "PASS", fact, _WHY_HOLLOW)
        else:
            fact = f"{check.name} does not notice that the code is gone"
            mend = "let it run tests of the sources"
            yield Finding(name, "WARN", fact, _WHY_HOLLOW, mend)
    if notices:
        yield Finding(name, "PASS", "a required check fails without the sources", _WHY_HOLLOW)
    else:
        fact = "no required check fails when every source file is empty"
        yield Finding(name, "FAIL", fact, _WHY_HOLLOW, "add a check that runs the tests")


def _excerpt(output: bytes) -> str:
    """The last lines of an output, indented below the fact."""
    lines = output.decode(errors="replace").strip().splitlines()[-_EXCERPT_LINES:]
    return "".join(f"\n        {line}" for line in lines or ["it printed nothing"])


def _keep_log(config: Config, name: str, output: bytes) -> Path:
    path = config.state.logs_dir / "doctor" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(output)
    return path

"""Whether a patch could land in a repository now: the one answer that the runner,
health and `gcr doctor` give.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpt_cursor_runner.config import Repository, SandboxedCommand
from gpt_cursor_runner.landing.checkouts import Checkout, checkout_among, list_checkouts
from gpt_cursor_runner.landing.git import Git, GitFailed, run_in
from gpt_cursor_runner.landing.sandbox.choosing import Proof, sandbox_for
from gpt_cursor_runner.landing.sandbox.model import Sandbox
from gpt_cursor_runner.patch.faults import Fault, HumanNeeded, WorldFailed

# A git that takes longer hangs on its disk. Half of the deadline of the check
# `repositories`, so that one is no_answer and not late.
GIT_SECONDS = 5.0
# As long as a landing waits for another git. `git commit` holds the lock of the
# index for as long as its editor is open.
LOCK_SECONDS = 3.0
# A workspace and a commit need little; below this the next write may fail.
LEAST_FREE_BYTES = 64 << 20
_LOCKS = ("HEAD.lock", "packed-refs.lock", "shallow.lock")
_RETRY = "Patches wait in the queue, and continue by themselves."


@dataclass(frozen=True)
class Machine:
    """The parts of this machine that every landing needs. `proof` is the result
    of trying the sandbox.
    """

    search_path: str
    state: Path
    proof: Callable[[], Proof]


def obstacles(repository: Repository, machine: Machine) -> list[Fault]:
    """The reasons why no patch can land in the repository now; none when one
    can. Takes a few git processes, each with a deadline.
    """
    # First: git ends at its deadline on a disk that does not answer, where this
    # process would hang.
    faults = _of_git(repository, machine.search_path)
    if faults:
        return faults
    try:
        git = Git.at(repository.path, machine.search_path)
        git = replace(git, deadline_seconds=GIT_SECONDS)
        checkouts = list_checkouts(git)
        return [
            *_of_directory(git),
            *_of_checkouts(git, repository, checkouts),
            *_of_locks(git, repository, checkouts),
            *_of_disk(machine.state),
            *_of_commands(git, repository, machine, checkouts),
        ]
    except HumanNeeded as held:
        return [_in_use(held)]
    except (GitFailed, WorldFailed, OSError) as error:
        return [Fault("no_answer", str(error), "See `gcr doctor`.")]


def _of_git(repository: Repository, search_path: str) -> list[Fault]:
    branch = f"refs/heads/{repository.branch}^{{commit}}"
    try:
        run_in(
            repository.path,
            search_path,
            "rev-parse",
            "--verify",
            branch,
            deadline_seconds=GIT_SECONDS,
        )
    except GitFailed as error:
        return [_git_fault(repository, error)]
    except WorldFailed as failed:
        code = "no_answer" if failed.code == "git_timed_out" else failed.code
        return [Fault(code, failed.message, failed.next_step)]
    return []


def _git_fault(repository: Repository, error: GitFailed) -> Fault:
    path = repository.path
    if "cannot change to" in error.stderr:
        return Fault(
            "missing",
            f"{path} does not exist",
            "Restore the repository, or correct its path in runner.toml.",
        )
    if "not a git repository" in error.stderr:
        return Fault(
            "not_a_repository",
            f"{path} is not a git repository",
            "Correct the path in runner.toml, or run `git init` there.",
        )
    if "Needed a single revision" in error.stderr:
        return Fault(
            "no_branch",
            f"branch {repository.branch} does not exist or has no commit",
            "Name an existing branch in runner.toml, or make its first commit.",
        )
    return Fault(
        "git_failed", f"git cannot read {path}: {error.stderr.strip()[:300]}", "See `gcr doctor`."
    )


def _of_directory(git: Git) -> Iterator[Fault]:
    for name in ("objects", "refs/heads"):
        directory = git.directory / name
        if not os.access(directory, os.W_OK | os.X_OK):
            yield Fault(
                "not_writable",
                f"this user may not write to {directory}",
                "Run the runner as the owner of the repository.",
            )
            return


def _of_checkouts(
    git: Git, repository: Repository, checkouts: Sequence[Checkout]
) -> Iterator[Fault]:
    try:
        checkout_among(checkouts, git.branch_head(repository.branch).ref)
    except HumanNeeded as held:
        yield _in_use(held)


def _in_use(held: HumanNeeded) -> Fault:
    return Fault("in_use", held.message, f"Finish it or abort it. {_RETRY}")


def _of_locks(git: Git, repository: Repository, checkouts: Sequence[Checkout]) -> Iterator[Fault]:
    locks = [git.directory / name for name in _LOCKS]
    locks.append(git.directory / f"refs/heads/{repository.branch}.lock")
    for checkout in checkouts:
        directory = checkout.git.directory
        locks += [directory / "index.lock", directory / "HEAD.lock"]
    for lock in dict.fromkeys(locks):
        try:
            age = time.time() - lock.lstat().st_mtime
        except OSError:
            continue
        if age >= LOCK_SECONDS:
            yield Fault(
                "foreign_lock",
                f"{lock} has existed for {age:.0f} s",
                f"End the git that holds it, or remove it if none runs. {_RETRY}",
            )


def _of_disk(state: Path) -> Iterator[Fault]:
    free = shutil.disk_usage(state).free
    if free < LEAST_FREE_BYTES:
        yield Fault(
            "no_space",
            f"{free >> 20} MB are free on the disk of {state}",
            f"Free space there. {_RETRY}",
        )


def _of_commands(
    git: Git, repository: Repository, machine: Machine, checkouts: Sequence[Checkout]
) -> Iterator[Fault]:
    """Whether the sandbox and the programs of the owner's commands are there."""
    if not repository.checks:
        return
    try:
        trees = [git.directory, *(checkout.path.resolve() for checkout in checkouts)]
        sandbox = sandbox_for(repository, machine.proof(), machine.search_path, trees)
    except WorldFailed as failed:
        yield failed.fault
        return
    tip = git.tip(repository.branch)
    for command in (*repository.setup, *repository.checks):
        program = command.command[0]
        if not _has_program(git, tip, repository, sandbox, command):
            yield Fault(
                "program_missing",
                f"the program {program} is neither on the search path of the sandbox nor in"
                f" {repository.branch}",
                "Install it, let `setup` provide it, or correct the command in runner.toml.",
            )


def _has_program(
    git: Git, tip: str, repository: Repository, sandbox: Sandbox, command: SandboxedCommand
) -> bool:
    program = command.command[0]
    if "/" not in program:
        return shutil.which(program, path=sandbox.tools.search_path) is not None
    if program.startswith("/"):
        return Path(program).exists()
    path = os.path.normpath(f"{command.working_directory}/{program}")
    for setup in repository.setup:
        if any(path.startswith(f"{provided}/") for provided in setup.provides):
            return True
    # A build by an earlier command may make it.
    if command is not (*repository.setup, *repository.checks)[0]:
        return True
    return bool(git.run("ls-tree", "-z", tip, "--", path))

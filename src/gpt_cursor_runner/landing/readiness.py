"""Whether a patch could land in a repository now."""

from __future__ import annotations

from gpt_cursor_runner.config import Repository
from gpt_cursor_runner.landing.git import GitFailed, run_in
from gpt_cursor_runner.patch.faults import Fault, WorldFailed

# A git that takes longer hangs on its disk. Half of the deadline of the check
# `repositories`, so that one is no_answer and not late.
GIT_SECONDS = 5.0


def obstacles(repository: Repository, search_path: str) -> list[Fault]:
    """The reasons why no patch can land in the repository now; none when one
    can. Takes one git process when all is well.
    """
    return _of_git(repository, search_path)


def _of_git(repository: Repository, search_path: str) -> list[Fault]:
    # No file is read by this process: one on a dead disk or a lost network
    # share would hang it, where a git that hangs is ended.
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

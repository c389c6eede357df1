"""The only module that runs git: argument lists, an explicit git directory, no
hooks, pinned configuration, a deadline.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.landing.git_isolation import NO_HOOKS, command_line, git_environment
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.system import processes

# The first version whose `merge-tree` merges (--write-tree).
OLDEST_GIT = (2, 38)
_DEADLINE_SECONDS = 120.0
_BRING_BACK = "Bring it back, or correct the path in runner.toml."


class GitFailed(Exception):
    """git ended with an unexpected exit code."""

    def __init__(self, arguments: tuple[str, ...], code: int, stdout: bytes, stderr: str) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(
            f"git {arguments[0]} exited with {code}: {stderr.strip()[:500] or 'no message'}"
        )


@dataclass(frozen=True)
class BranchHead:
    """`ref` is that of another branch when the branch is a symbolic ref to it."""

    ref: str
    commit: str


@dataclass(frozen=True)
class Git:
    """git on one repository. `directory` is its git directory; `search_path` is
    where the binary is looked for.

    Without a `work_tree` git sees only objects and refs, neither an index nor
    attribute files. `registered_path` is the path in the owner's settings.
    """

    directory: Path
    search_path: str
    work_tree: Path | None = None
    registered_path: Path | None = None
    hooks: Path = NO_HOOKS
    deadline_seconds: float = _DEADLINE_SECONDS

    @classmethod
    def at(cls, path: Path, search_path: str) -> Git:
        """The repository whose checkout or bare directory is `path`; raise
        WorldFailed when it is none.
        """
        try:
            directory = run_in(path, search_path, "rev-parse", "--git-common-dir")
        except GitFailed as error:
            raise WorldFailed(
                "repository_unreachable",
                f"{path} is not a git repository: {error.stderr.strip()}",
                f"Correct the path in runner.toml, or run `git init {path}`.",
            ) from error
        return cls((path / directory).resolve(), search_path, registered_path=path)

    def worktree(self, path: Path) -> Git:
        """The same repository, from one of its checkouts."""
        directory = run_in(path, self.search_path, "rev-parse", "--absolute-git-dir")
        return Git(Path(directory), self.search_path, path)

    def run(
        self,
        *arguments: str,
        data: bytes = b"",
        also_fine: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """The output of git; raise GitFailed for an exit code other than 0 and
        `also_fine`, WorldFailed at the deadline.
        """
        start_directory = self.work_tree or self.directory
        try:
            completed = processes.run(
                self.command(*arguments),
                self.deadline_seconds,
                data=data,
                environment=self.environment() | dict(environment or {}),
                directory=start_directory,
            )
        except OSError as error:
            raise _not_started(error, start_directory) from error
        except processes.DeadlinePassed as late:
            raise _timed_out(arguments, self.deadline_seconds) from late
        return _checked(arguments, completed, also_fine)

    def line(
        self,
        *arguments: str,
        data: bytes = b"",
        also_fine: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """The output of git without the newline at its end."""
        output = self.run(*arguments, data=data, also_fine=also_fine, environment=environment)
        return _text(output)

    def start(self, *arguments: str) -> processes.Child:
        """A running git with pipes to its input and from its output; raise
        WorldFailed when it does not start.
        """
        start_directory = self.work_tree or self.directory
        try:
            return processes.start(
                self.command(*arguments),
                environment=self.environment(),
                directory=start_directory,
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise _not_started(error, start_directory) from error

    def command(self, *arguments: str) -> list[str]:
        return command_line(*arguments, hooks=self.hooks)

    def environment(self) -> dict[str, str]:
        return git_environment(self.search_path, self.directory, self.work_tree)

    def resolve(self, revision: str) -> str | None:
        """The id of the commit that a revision names, or None."""
        try:
            return self.line(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except GitFailed as error:
            if "not a git repository" in error.stderr:
                raise WorldFailed(
                    "repository_unreachable",
                    f"{self.directory} is not a git repository now",
                    _BRING_BACK,
                ) from error
            return None

    def tip(self, branch: str) -> str:
        """The commit at the tip of a branch; raise WorldFailed when there is no
        such branch.
        """
        commit = self.resolve(f"refs/heads/{branch}")
        if commit is None:
            raise _branch_missing(branch)
        return commit

    def branch_head(self, branch: str) -> BranchHead:
        """The ref that moves when the branch moves, and its commit; raise
        WorldFailed when there is no such branch.
        """
        ref = f"refs/heads/{branch}"
        output = self.line("for-each-ref", "--format=%(symref) %(objectname)", ref)
        if not output:
            raise _branch_missing(branch)
        target, _, commit = output.rpartition(" ")
        return BranchHead(target or ref, commit)

    def is_ancestor(self, commit: str, of: str) -> bool:
        try:
            self.run("merge-base", "--is-ancestor", commit, of)
        except GitFailed as error:
            if error.code == 1:
                return False
            raise
        return True


def run_in(
    path: Path,
    search_path: str,
    *arguments: str,
    also_fine: tuple[int, ...] = (),
    deadline_seconds: float = _DEADLINE_SECONDS,
) -> str:
    """The output of git for the repository around a path, without the newline at
    its end; raises as `Git.run` does.
    """
    # safe.directory: git refuses the files of another user, and the owner of a
    # repository need not be the user of this process.
    command = command_line("-C", str(path), "-c", "safe.directory=*", *arguments)
    try:
        completed = processes.run(
            command, deadline_seconds, environment=git_environment(search_path)
        )
    except OSError as error:
        raise _not_started(error) from error
    except processes.DeadlinePassed as late:
        raise _timed_out(arguments, deadline_seconds) from late
    return _text(_checked(arguments, completed, also_fine))


def quoted(path: str) -> bytes:
    """A path in quotes, as fast-import and lists of alternates read it."""
    raw = path.encode(errors="surrogateescape")
    for plain, escaped in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        raw = raw.replace(plain, escaped)
    return b'"%s"' % raw


def version(search_path: str) -> tuple[int, ...]:
    """The version of the git binary; raise WorldFailed when there is none."""
    text = run_in(Path("/"), search_path, "--version")
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None:
        return (0,)
    return tuple(int(part) for part in match.groups(default="0"))


def _text(output: bytes) -> str:
    return output.decode(errors="surrogateescape").rstrip("\n")


def _checked(
    arguments: tuple[str, ...], completed: processes.Completed, also_fine: tuple[int, ...]
) -> bytes:
    if completed.exit_code not in (0, *also_fine):
        stderr = completed.stderr.decode(errors="replace")
        raise GitFailed(arguments, completed.exit_code, completed.stdout, stderr)
    return completed.stdout


def _branch_missing(branch: str) -> WorldFailed:
    return WorldFailed(
        "branch_missing",
        f"the repository has no branch {branch} with a commit on it",
        "Name an existing branch in runner.toml, or make a first commit on it.",
    )


def _timed_out(arguments: tuple[str, ...], deadline_seconds: float) -> WorldFailed:
    return WorldFailed(
        "git_timed_out",
        f"git {arguments[0]} took longer than {deadline_seconds:.0f} s",
        "See whether the disk or the remote answers, then `gcr retry` the patch.",
    )


def _not_started(error: OSError, start_directory: Path | None = None) -> WorldFailed:
    # A working directory that is gone is a FileNotFoundError too.
    if start_directory is not None and not start_directory.is_dir():
        return WorldFailed("repository_unreachable", f"{start_directory} is gone", _BRING_BACK)
    reason = f"git: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        reason = "git is not installed"
    return WorldFailed("git_missing", reason, "Install git 2.38 or newer.")

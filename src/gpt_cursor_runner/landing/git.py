"""The only door to git: argument lists, an explicit git directory, no hooks, no
foreign configuration, a deadline.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.patch.outcome import WorldFailed

OLDEST_GIT = (2, 38)
AUTHOR_NAME = "GPT-Cursor Runner"
AUTHOR_EMAIL = "gpt-cursor-runner@localhost"
_DEADLINE_SECONDS = 120.0
_GRACE_SECONDS = 2.0

# What a repository's own configuration could otherwise make git run, skip or
# decide.
_PINNED = {
    "core.fsmonitor": "false",
    "core.fsync": "committed,reference",  # loose objects too: by default git syncs packs only
    "core.fsyncMethod": "fsync",
    "core.filesRefLockTimeout": "1000",  # milliseconds; the default of 100 gives up on a busy disk
    "core.quotePath": "false",
    "i18n.commitEncoding": "UTF-8",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "merge.autoStash": "false",
    "merge.conflictStyle": "merge",
    "merge.default": "text",
    # A change lands at the path that was planned, or nowhere: see
    # `_refuse_strays` in sealing.py.
    "merge.renames": "false",
    "merge.directoryRenames": "false",
    "merge.renormalize": "false",
    "merge.verifySignatures": "false",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
}


class GitFailed(Exception):
    """git answered with an exit code that was not expected."""

    def __init__(self, arguments: tuple[str, ...], code: int, stdout: bytes, stderr: str) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(
            f"git {arguments[0]} exited with {code}: {stderr.strip()[:500] or 'no message'}"
        )


@dataclass(frozen=True)
class Git:
    """git on one repository. `directory` is its git directory; `search_path` is
    where the binary is looked for.

    Without a `work_tree` git sees objects and refs alone: neither an index nor
    attributes of the directory the runner happens to be in. `given` is the path
    under which the owner registered the repository.
    """

    directory: Path
    search_path: str
    work_tree: Path | None = None
    given: Path | None = None
    hooks: Path = Path("/dev/null")
    deadline_seconds: float = _DEADLINE_SECONDS

    @classmethod
    def at(cls, path: Path, search_path: str) -> Git:
        """The repository whose checkout or bare directory is `path`; raise
        WorldFailed when it is none.
        """
        try:
            found = cls(Path(), search_path).at_path(path, "--git-common-dir")
        except GitFailed as no_repository:
            raise WorldFailed(
                "repository_unreachable",
                f"{path} is not a git repository: {no_repository.stderr.strip()}",
                f"Correct the path in runner.toml, or run `git init {path}`.",
            ) from no_repository
        return cls((path / found[0]).resolve(), search_path, given=path)

    def worktree(self, path: Path) -> Git:
        """The same repository, from one of its checkouts."""
        return Git(Path(self.at_path(path, "--absolute-git-dir")[0]), self.search_path, path)

    def at_path(self, path: Path, *what: str) -> list[str]:
        """What `git rev-parse` finds from a path, a line for each thing asked,
        whoever owns the files there.
        """
        arguments = ("-C", str(path), "-c", "safe.directory=*", "rev-parse", *what)
        return self.line(*arguments, explicit=False).split("\n")

    def run(
        self,
        *arguments: str,
        data: bytes = b"",
        also_fine: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
        explicit: bool = True,
    ) -> bytes:
        """What git printed; raise GitFailed for any exit code but 0 and
        `also_fine`, WorldFailed at the deadline.
        """
        with self.start(*arguments, environment=environment, explicit=explicit) as process:
            try:
                stdout, stderr = process.communicate(data, self.deadline_seconds)
            except subprocess.TimeoutExpired as late:
                raise WorldFailed(
                    "git_timed_out",
                    f"git {arguments[0]} took longer than {self.deadline_seconds:.0f} s",
                    "See whether the disk or the remote answers, then requeue the patch.",
                ) from late
            finally:
                end(process)
        if process.returncode != 0 and process.returncode not in also_fine:
            raise GitFailed(arguments, process.returncode, stdout, stderr.decode(errors="replace"))
        return stdout

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        explicit: bool = True,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """A running git with pipes, leader of a process group of its own; raise
        WorldFailed when it does not start.
        """
        start_in = self.work_tree or (self.directory if explicit else None)
        try:
            return subprocess.Popen(
                self.command(*arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self.environment(explicit) | dict(environment or {}),
                cwd=start_in,
                start_new_session=True,
            )
        except OSError as cannot:
            if start_in is not None and not start_in.is_dir():
                advice = "Bring it back, or correct the path in runner.toml."
                raise WorldFailed(
                    "repository_unreachable", f"{start_in} is gone", advice
                ) from cannot
            reason = (
                "git is not installed"
                if isinstance(cannot, FileNotFoundError)
                else f"git: {cannot.strerror}"
            )
            raise WorldFailed("git_missing", reason, "Install git 2.38 or newer.") from cannot

    def line(
        self,
        *arguments: str,
        data: bytes = b"",
        also_fine: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
        explicit: bool = True,
    ) -> str:
        """What git printed, without the newline at its end."""
        printed = self.run(
            *arguments, data=data, also_fine=also_fine, environment=environment, explicit=explicit
        )
        return printed.decode(errors="surrogateescape").rstrip("\n")

    def command(self, *arguments: str) -> list[str]:
        pinned = {"core.hooksPath": str(self.hooks), **_PINNED}
        pins = [part for name, value in pinned.items() for part in ("-c", f"{name}={value}")]
        return ["git", "--no-pager", "--literal-pathspecs", *pins, *arguments]

    def environment(self, explicit: bool = True) -> dict[str, str]:
        """The whole environment of git; nothing of the runner's own gets in."""
        values = {
            "PATH": self.search_path,
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        for role in ("AUTHOR", "COMMITTER"):
            values |= {f"GIT_{role}_NAME": AUTHOR_NAME, f"GIT_{role}_EMAIL": AUTHOR_EMAIL}
        if explicit:
            values["GIT_DIR"] = str(self.directory)
        if self.work_tree is not None:
            values["GIT_WORK_TREE"] = str(self.work_tree)
        elif explicit:
            values["GIT_INDEX_FILE"] = str(self.directory / "gcr-reads-no-index")
        return values

    def resolve(self, revision: str) -> str | None:
        """The commit a revision names, or None."""
        try:
            return self.line(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except GitFailed as answer:
            if "not a git repository" in answer.stderr:
                raise WorldFailed(
                    "repository_unreachable",
                    f"{self.directory} is no git repository any more",
                    "Bring it back, or correct the path in runner.toml.",
                ) from answer
            return None

    def tip(self, branch: str) -> str:
        """The commit at the tip of a branch; raise WorldFailed when there is no
        such branch.
        """
        commit = self.resolve(f"refs/heads/{branch}")
        if commit is None:
            raise WorldFailed(
                "branch_missing",
                f"the repository has no branch {branch} with a commit on it",
                "Name an existing branch in runner.toml, or make a first commit on it.",
            )
        return commit

    def branch_ref(self, branch: str) -> str:
        """The ref that moves when the branch moves: a branch may be a symbolic
        ref to another one.
        """
        ref = f"refs/heads/{branch}"
        return self.line("symbolic-ref", "--quiet", ref, also_fine=(1,)) or ref

    def is_ancestor(self, commit: str, of: str) -> bool:
        try:
            self.run("merge-base", "--is-ancestor", commit, of)
        except GitFailed as answer:
            if answer.code == 1:
                return False
            raise
        return True


def end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started, if it runs still: politely first, since git
    then removes its lock files.
    """
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill git's process group; git itself has been waited for when this
    returns.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def quoted(path: str) -> bytes:
    """A path in quotes, as fast-import and lists of alternates read it."""
    raw = path.encode(errors="surrogateescape")
    for plain, escaped in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        raw = raw.replace(plain, escaped)
    return b'"%s"' % raw


def version(search_path: str) -> tuple[int, ...]:
    """The version of the git binary; raise WorldFailed when there is none."""
    text = Git(Path(), search_path).run("--version", explicit=False).decode()
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in match.groups(default="0")) if match else (0,)

"""The only door to git: argument lists, an explicit git directory, no hooks, no foreign configuration, a deadline."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpt_cursor_runner.patch.outcome import WorldFailed

OLDEST_GIT = (2, 38)
_DEADLINE_SECONDS = 120.0

# What a repository's own configuration could otherwise make git run or skip.
_PINNED = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.fsync": "committed,reference",  # loose objects too: by default git syncs packs only
    "core.quotePath": "false",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "merge.autoStash": "false",
    "merge.verifySignatures": "false",
    "protocol.ext.allow": "never",
}


class GitFailed(Exception):
    """git answered with an exit code that was not expected."""

    def __init__(self, arguments: tuple[str, ...], code: int, stderr: str) -> None:
        self.code = code
        self.stderr = stderr
        super().__init__(f"git {arguments[0]} exited with {code}: {stderr[:500] or 'no message'}")


@dataclass(frozen=True)
class Git:
    """git on one repository. `directory` is its git directory; `search_path` is where the binary is looked for."""

    directory: Path
    search_path: str
    work_tree: Path | None = None
    pinned: Mapping[str, str] = field(default_factory=lambda: _PINNED)

    @classmethod
    def at(cls, path: Path, search_path: str) -> Git:
        """The repository whose checkout or bare directory is `path`; raise WorldFailed when it is none."""
        here = cls(Path(), search_path)
        try:
            found = here.run("-C", str(path), "-c", "safe.directory=*", "rev-parse", "--git-common-dir", explicit=False)
        except GitFailed as no_repository:
            raise WorldFailed(
                "repository_unreachable",
                f"{path} is not a git repository: {no_repository.stderr.strip()}",
                f"Correct the path in runner.toml, or run `git init {path}`.",
            ) from no_repository
        return cls((path / found.decode().rstrip("\n")).resolve(), search_path)

    def worktree(self, path: Path) -> Git:
        """The same repository, from one of its checkouts."""
        found = self.run("-C", str(path), "-c", "safe.directory=*", "rev-parse", "--absolute-git-dir", explicit=False)
        return Git(Path(found.decode().rstrip("\n")), self.search_path, path)

    def run(
        self,
        *arguments: str,
        data: bytes = b"",
        also_fine: tuple[int, ...] = (),
        environment: Mapping[str, str] | None = None,
        explicit: bool = True,
    ) -> bytes:
        """What git printed; raise GitFailed for any exit code but 0 and `also_fine`, WorldFailed at the deadline."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                input=data,
                capture_output=True,
                env=self.environment(explicit) | dict(environment or {}),
                cwd=self.work_tree,
                timeout=_DEADLINE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise WorldFailed(
                "git_timed_out", f"git {arguments[0]} took longer than {_DEADLINE_SECONDS:.0f} s"
            ) from late
        except FileNotFoundError as missing:
            raise WorldFailed("git_missing", "git is not installed", "Install git 2.38 or newer.") from missing
        if done.returncode != 0 and done.returncode not in also_fine:
            raise GitFailed(arguments, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def line(self, *arguments: str, **named: bytes) -> str:
        """What git printed, as one line."""
        return self.run(*arguments, **named).decode(errors="surrogateescape").rstrip("\n")  # type: ignore[arg-type]

    def command(self, *arguments: str) -> list[str]:
        pins = [part for name, value in self.pinned.items() for part in ("-c", f"{name}={value}")]
        return ["git", "--no-pager", "--literal-pathspecs", *pins, *arguments]

    def environment(self, explicit: bool = True) -> dict[str, str]:
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
        if explicit:
            values["GIT_DIR"] = str(self.directory)
        if self.work_tree is not None:
            values["GIT_WORK_TREE"] = str(self.work_tree)
        return values

    def resolve(self, revision: str) -> str | None:
        """The commit a revision names, or None."""
        found = self.run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", also_fine=(1, 128)
        )
        return found.decode().strip() or None

    def tip(self, branch: str) -> str:
        """The commit at the tip of a branch; raise WorldFailed when there is no such branch."""
        commit = self.resolve(f"refs/heads/{branch}")
        if commit is None:
            raise WorldFailed(
                "branch_missing",
                f"the repository has no branch {branch} with a commit on it",
                "Name an existing branch in runner.toml, or make a first commit on it.",
            )
        return commit

    def is_ancestor(self, commit: str, of: str) -> bool:
        try:
            self.run("merge-base", "--is-ancestor", commit, of)
        except GitFailed as answer:
            if answer.code == 1:
                return False
            raise
        return True


def version(search_path: str) -> tuple[int, ...]:
    """The version of the git binary; raise WorldFailed when there is none."""
    text = Git(Path(), search_path).run("--version", explicit=False).decode()
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in match.groups(default="0")) if match else (0,)

"""Plans without a planner, sealed commits, and a git with a shell script in
front of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from gpt_cursor_runner.formats.tree import File, FileAction, Plan
from gpt_cursor_runner.landing.commit_tree import CommitTree
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.landing import compose
from gpt_cursor_runner.landing.objects import Objects
from gpt_cursor_runner.landing.sealing import Sealed, seal
from tests.building import SEARCH_PATH, Repo

ACCEPTED_AT = 1_700_000_000.25

_GIT = shutil.which("git", path=SEARCH_PATH)

Files = Mapping[str, str | bytes | File | None]


def plan_of(files: Files) -> Plan:
    """A plan that leaves each path as given; None deletes it."""
    return Plan(tuple(FileAction(path, None, _as_file(files[path])) for path in sorted(files)))


def _as_file(given: str | bytes | File | None) -> File | None:
    if given is None or isinstance(given, File):
        return given
    return File(given if isinstance(given, bytes) else given.encode())


def seal_files(
    repo: Repo, files: Files, patch_id: str = "patch-1", base: str | None = None
) -> Sealed:
    return seal(
        repo.git, plan_of(files), patch_id, base or repo.tip("refs/heads/main"), ACCEPTED_AT
    )


def commit_of(repo: Repo, files: Files, patch_id: str = "patch-1") -> str:
    """The commit that would land these files on the tip."""
    sealed = seal_files(repo, files, patch_id)
    return compose(repo.git, sealed, f"[PATCH] {patch_id}", "", {"Patch-Id": patch_id}, ACCEPTED_AT)


def look(repo: Repo, see: Callable[[CommitTree], object], revision: str = "main") -> object:
    """Returns what `see` reads in the tree of a commit."""
    with Objects(repo.git) as objects:
        return see(CommitTree(objects, repo.tip(f"{revision}^{{tree}}")))


def git_with_script(
    repo: Repo,
    directory: Path,
    word: str,
    script: str,
    patience: float = 120.0,
    after: bool = False,
) -> Git:
    """A git that runs a shell script of the owner's once, before (or after) its
    first `word` command. The script runs in the checkout, with an environment
    of the owner's; `$git` is the real git.
    """
    environment = f"unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE; git={_GIT}; cd {repo.path}"
    owner = (
        f"mkdir {directory}/done 2>/dev/null && ({environment} && {{ {script}\n}} >/dev/null 2>&1)"
    )
    then = f'{_GIT} "$@"; code=$?; {owner}; exit $code' if after else owner
    return replace(_git_with_case(repo, directory, word, then), deadline_seconds=patience)


def git_that_prints(repo: Repo, directory: Path, word: str, output: str, code: int) -> Git:
    """A git that prints a fixed output (escaped for printf) for its `word`
    command and exits with `code`.
    """
    return _git_with_case(repo, directory, word, f"printf '{output}'; exit {code}")


def _git_with_case(repo: Repo, directory: Path, word: str, script: str) -> Git:
    directory.mkdir()
    (directory / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" {word} "*)\n{script} ;;\nesac\nexec {_GIT} "$@"\n'
    )
    (directory / "git").chmod(0o755)
    return Git.at(repo.path, f"{directory}:{SEARCH_PATH}")


def without_root(act: Callable[[], None]) -> None:
    """Run a function without root's power to ignore permissions; as root, in a
    forked child.
    """
    if os.geteuid() != 0:
        act()
        return
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0

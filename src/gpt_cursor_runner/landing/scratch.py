"""A place to seal and merge in without a trace in the owner's repository."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gpt_cursor_runner.landing.git import Git, quoted

# By the length of a full id: SHA-1 and SHA-256.
_CONFIGS = {
    40: "[core]\n\trepositoryformatversion = 0\n\tbare = {bare}\n",
    64: (
        "[core]\n\trepositoryformatversion = 1\n\tbare = {bare}\n"
        "[extensions]\n\tobjectformat = sha256\n"
    ),
}


@contextmanager
def scratch(git: Git, commit: str) -> Iterator[Git]:
    """A bare repository that reads the objects of `git` and keeps its own; it
    is removed at the end.

    It has none of the owner's refs, so revisions are named by id. `commit` is
    any full id; its length is the object format.
    """
    with tempfile.TemporaryDirectory(prefix="gcr-scratch-") as directory:
        bare = Path(directory)
        make_repository(git, commit, bare, is_bare=True)
        alternate = quoted(str(git.directory / "objects"))
        (bare / "objects/info/alternates").write_bytes(alternate + b"\n")
        yield replace(git, directory=bare, work_tree=None, registered_path=None)


def make_repository(git: Git, commit: str, directory: Path, *, is_bare: bool) -> None:
    """Make an empty repository with the object format, and the bounds of a
    shallow clone, of another.
    """
    # Written by hand, since `git init` would cost a process.
    for folder in ("objects/info", "objects/pack", "refs/heads"):
        (directory / folder).mkdir(parents=True)
    (directory / "HEAD").write_text("ref: refs/heads/none\n")
    (directory / "config").write_text(_CONFIGS[len(commit)].format(bare=str(is_bare).lower()))
    if (git.directory / "shallow").exists():
        # Otherwise git would look for the parents that a shallow clone does
        # not have.
        shutil.copyfile(git.directory / "shallow", directory / "shallow")

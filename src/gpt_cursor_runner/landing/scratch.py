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
    40: "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
    64: (
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat ="
        " sha256\n"
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
        # Written by hand, since `git init` would cost a process.
        for folder in ("objects/info", "objects/pack", "refs/heads"):
            (bare / folder).mkdir(parents=True)
        (bare / "HEAD").write_text("ref: refs/heads/none\n")
        (bare / "config").write_text(_CONFIGS[len(commit)])
        alternate = quoted(str(git.directory / "objects"))
        (bare / "objects/info/alternates").write_bytes(alternate + b"\n")
        if (git.directory / "shallow").exists():
            # Otherwise the merge would look for the parents that a shallow
            # clone does not have.
            shutil.copyfile(git.directory / "shallow", bare / "shallow")
        yield replace(git, directory=bare, work_tree=None, registered_path=None)

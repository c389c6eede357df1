"""A place to seal and merge in without leaving anything in the owner's
repository.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gpt_cursor_runner.landing.git import Git, quoted

_FORMATS = {
    40: "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
    64: (
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat ="
        " sha256\n"
    ),
}


@contextmanager
def scratch(git: Git, commit: str) -> Iterator[Git]:
    """A bare repository that reads the objects of `git`'s; what is written
    stays in it, and goes with it.

    It has none of the owner's refs: name what you want by ids. `commit` is any
    full id, for the kind of ids.
    """
    with tempfile.TemporaryDirectory(prefix="gcr-scratch-") as place:
        bare = Path(place)
        for folder in ("objects/info", "objects/pack", "refs/heads"):
            (bare / folder).mkdir(parents=True)
        (bare / "HEAD").write_text("ref: refs/heads/none\n")
        (bare / "config").write_text(_FORMATS[len(commit)])
        (bare / "objects/info/alternates").write_bytes(
            quoted(str(git.directory / "objects")) + b"\n"
        )
        if (git.directory / "shallow").exists():
            # Otherwise the merge would look for the parents that a shallow
            # clone does not have.
            shutil.copyfile(git.directory / "shallow", bare / "shallow")
        yield replace(git, directory=bare, work_tree=None, registered_path=None)

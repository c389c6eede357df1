"""git's three-way merge of the texts of one file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gpt_cursor_runner.formats.tree import Merged
from gpt_cursor_runner.landing.git import Git, GitFailed

_LABELS = ("-L", "the branch", "-L", "the base", "-L", "the patch")
# The exit code is the number of conflicts, or this when there are as many or
# more (git-merge-file).
_MOST_CONFLICTS = 127


def merge_texts(git: Git, base: bytes, ours: bytes, theirs: bytes) -> Merged:
    """Merge two texts that both came from `base` with `git merge-file`; raise
    GitFailed when it cannot.
    """
    with tempfile.TemporaryDirectory(prefix="gcr-merge-") as directory:
        files = []
        for name, data in (("ours", ours), ("base", base), ("theirs", theirs)):
            file = Path(directory, name)
            file.write_bytes(data)
            files.append(str(file))
        try:
            return Merged(git.run("merge-file", "-p", *_LABELS, *files), 0)
        except GitFailed as error:
            if not 0 < error.code <= _MOST_CONFLICTS:
                raise
            return Merged(error.stdout, error.code)

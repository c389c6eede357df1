"""Git's own three-way merge of the texts of one file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gpt_cursor_runner.formats.tree import Merged
from gpt_cursor_runner.landing.git import Git, GitFailed

_LABELS = ("the branch", "the base", "the patch")
# The exit code is the number of conflicts, or this when there are as many or
# more (git-merge-file).
_MOST_CONFLICTS = 127


def merge_texts(git: Git, base: bytes, ours: bytes, theirs: bytes) -> Merged:
    """What `git merge-file` makes of two texts that both came from `base`;
    GitFailed when it cannot.
    """
    with tempfile.TemporaryDirectory(prefix="gcr-merge-") as place:
        files = [Path(place, name) for name in ("ours", "base", "theirs")]
        for file, data in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(data)
        labels = [word for label in _LABELS for word in ("-L", label)]
        try:
            return Merged(git.run("merge-file", "-p", *labels, *map(str, files)), 0)
        except GitFailed as answer:
            if not 0 < answer.code <= _MOST_CONFLICTS:
                raise
            return Merged(answer.stdout, answer.code)

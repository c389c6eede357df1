"""Packs the loose objects of a repository that no owner works in.

Landing writes some six objects for each patch. In a checkout the owner's own git
packs them now and then; in a bare repository nothing else does.
"""

from __future__ import annotations

from gpt_cursor_runner.landing.git import Git

# As git's own gc.auto, which estimates the number in the same way.
MANY_OBJECTS = 6700
_SAMPLE = "17"
_DIRECTORIES = 256


def pack_if_many(git: Git) -> bool:
    """Pack the loose objects when there are many and the repository is bare;
    return whether it did. Nothing is deleted that is not in a pack.
    """
    if loose_objects(git) < MANY_OBJECTS or not _is_bare(git):
        return False
    git.run("repack", "-d", "-l", "-q", "--no-write-bitmap-index")
    return True


def loose_objects(git: Git) -> int:
    """About how many objects are not in a pack, by one directory of them."""
    sample = git.directory / "objects" / _SAMPLE
    try:
        count = sum(1 for _ in sample.iterdir())
    except FileNotFoundError:
        return 0
    return count * _DIRECTORIES


def _is_bare(git: Git) -> bool:
    return git.line("rev-parse", "--is-bare-repository") == "true"

"""A clone with the history of a commit, for checks that call git.

It has its own copy of the objects: a link to the owner's could be written to,
and an alternate would have to be shown.
"""

from __future__ import annotations

from pathlib import Path

from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.git_isolation import AUTHOR_EMAIL, AUTHOR_NAME
from gpt_cursor_runner.landing.scratch import make_repository
from gpt_cursor_runner.landing.tree_files import Owner, give

_CONFIG = f"[user]\n\tname = {AUTHOR_NAME}\n\temail = {AUTHOR_EMAIL}\n"


def write_history(
    git: Git, commit: str, branch: str, directory: Path, owner: Owner | None = None
) -> None:
    """Make `directory` the git directory of a clone that has the commit checked
    out on the branch, with its ancestors and their tags.
    """
    make_repository(git, commit, directory, is_bare=False)
    tags = git.line(
        "for-each-ref", f"--merged={commit}", "--format=%(objectname) %(refname)", "refs/tags"
    ).splitlines()
    wanted = [commit, *(tag.split(" ")[0] for tag in tags)]
    pack = directory / "objects/pack/pack"
    revisions = "".join(f"{oid}\n" for oid in wanted).encode()
    git.run("pack-objects", "--quiet", "--revs", str(pack), data=revisions)
    (directory / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    refs = [f"{commit} refs/heads/{branch}", *tags]
    (directory / "packed-refs").write_text("".join(f"{ref}\n" for ref in sorted(refs, key=_name)))
    with (directory / "config").open("a") as config:
        config.write(_CONFIG)
    # No check has run here yet, and the index has no paths of the machine.
    clone = Git(directory, git.search_path)
    index = {"GIT_INDEX_FILE": str(directory / "index")}
    clone.run("read-tree", commit, environment=index)
    give(owner, directory, *directory.rglob("*"))


def _name(ref: str) -> str:
    return ref.split(" ")[1]

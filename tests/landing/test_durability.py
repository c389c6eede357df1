"""A landed commit survives a loss of power: git syncs it before the branch
points at it.
"""

import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gpt_cursor_runner.landing.landing import compose, move_branch
from gpt_cursor_runner.landing.sealing import Sealed, seal, sealed_ref
from tests.building import SEARCH_PATH, Repo
from tests.landing.builders import ACCEPTED_AT, plan_of

# With -y strace prints the path of a descriptor: fsync(3</path>) = 0
_SYNC = re.compile(r"(?:fsync|fdatasync)\(\d+<(?P<path>[^>]+)>\) += 0")
_RENAME = re.compile(r'(?:link|rename)\("(?P<old>[^"]+)", "(?P<new>[^"]+)"\) += 0')


@dataclass
class Trace:
    """Follows the synced bytes of temporary files to the names that they are
    given; `names` has these in the order in which they came.
    """

    directory: Path
    names: list[str] = field(default_factory=list)
    synced: set[str] = field(default_factory=set)

    def read(self, text: str) -> None:
        for line in text.splitlines():
            if sync := _SYNC.search(line):
                self.synced.add(self._name(sync["path"]))
            elif rename := _RENAME.search(line):
                old, new = self._name(rename["old"]), self._name(rename["new"])
                self.names.append(new)
                if old in self.synced:
                    self.synced.add(new)

    def _name(self, path: str) -> str:
        return str((self.directory / path).relative_to(self.directory))


def traced_landing(repo: Repo, tmp_path: Path) -> tuple[Sealed, str, Trace]:
    """Seal a patch and move the branch to it, every git under strace."""
    programs, traces = tmp_path / "bin", tmp_path / "traces"
    programs.mkdir()
    traces.mkdir()
    strace = f"{shutil.which('strace')} -f -y -qq -e trace=fsync,fdatasync,link,rename"
    real_git = shutil.which("git", path=SEARCH_PATH)
    (programs / "git").write_text(
        f"#!/bin/sh\nnumber=$(ls {traces} | wc -l)\n"
        f'exec {strace} -o {traces}/$(printf %03d $number) {real_git} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    git = replace(repo.git, search_path=f"{programs}:{SEARCH_PATH}")
    old = repo.tip()
    plan = plan_of({"dir/new.txt": "new\n", "greeting.py": "changed\n"})
    sealed = seal(git, plan, "patch-1", old, ACCEPTED_AT)
    commit = compose(git, sealed, "Subject", "", {"Patch-Id": "patch-1"}, ACCEPTED_AT)
    move_branch(git, "main", old, commit)
    assert repo.tip() == commit
    trace = Trace(repo.git.directory)
    for file in sorted(traces.iterdir()):
        trace.read(file.read_text())
    return sealed, commit, trace


def objects_of(repo: Repo, old: str, *commits: str) -> list[str]:
    """The files of the loose objects that are new since `old`."""
    listed = repo.run("rev-list", "--objects", *commits, f"^{old}").splitlines()
    oids = [line.split()[0] for line in listed]
    return [f"objects/{oid[:2]}/{oid[2:]}" for oid in oids]


@pytest.mark.parametrize("checked_out", [True, False])
def test_objects_and_refs_are_synced_before_the_branch_moves(
    repo: Repo, tmp_path: Path, checked_out: bool
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed, so system calls cannot be traced")
    old = repo.tip()
    if not checked_out:
        repo.run("checkout", "--quiet", "--detach")
    sealed, commit, trace = traced_landing(repo, tmp_path)
    new_objects = objects_of(repo, old, sealed.commit, commit)
    assert len(new_objects) == 6  # two commits, two trees, two blobs
    branch = "refs/heads/main"
    for name in (*new_objects, sealed_ref("patch-1"), branch):
        assert name in trace.synced, name
        assert trace.names.index(name) <= trace.names.index(branch), name

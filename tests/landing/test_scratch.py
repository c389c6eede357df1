"""Sealing and merging in a scratch repository, which reads every object of the
owner's and is removed with its own.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gpt_cursor_runner.landing.carrying import carry
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.landing import diff
from gpt_cursor_runner.landing.scratch import scratch
from gpt_cursor_runner.landing.sealing import seal
from tests.building import SEARCH_PATH, Repo
from tests.landing.builders import ACCEPTED_AT, plan_of


def listing(place: Path) -> dict[str, tuple[int, int]]:
    """The size and modification time of everything in a folder; a folder's time
    changes when an entry is added or removed.
    """
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(place.rglob("*"))
    }


def sealed_and_carried(git: Git, base: str, tip: str) -> bytes:
    with scratch(git, base) as bare:
        sealed = carry(
            bare,
            seal(bare, plan_of({"new.txt": "new\n"}), "look", base, ACCEPTED_AT),
            tip,
            ACCEPTED_AT,
        )
        return diff(bare, sealed.base, sealed.commit)


def test_sealing_and_carrying_leave_no_object_ref_or_file_in_the_owners_repository(
    repo: Repo,
) -> None:
    base = repo.tip()
    tip = repo.commit({"other.txt": "other\n"})
    before = listing(repo.path)
    assert b"+new" in sealed_and_carried(repo.git, base, tip)
    assert listing(repo.path) == before


def test_its_commits_equal_those_of_the_real_run(repo: Repo) -> None:
    base, plan = repo.tip(), plan_of({"new.txt": "new\n"})
    with scratch(repo.git, base) as bare:
        tried = seal(bare, plan, "same", base, ACCEPTED_AT)
    assert tried == seal(repo.git, plan, "same", base, ACCEPTED_AT)


def test_it_is_removed_after_an_error(repo: Repo) -> None:
    with pytest.raises(ZeroDivisionError), scratch(repo.git, repo.tip()) as bare:
        seal(bare, plan_of({"new.txt": "new\n"}), "look", repo.tip(), ACCEPTED_AT)
        assert (bare.directory / "objects").exists()
        _ = 1 / 0
    assert not bare.directory.exists()


@pytest.mark.parametrize("name", ['say "hi"', "#first", "a\\b", "two\nlines", "späße"])
def test_the_owners_path_may_hold_any_characters(tmp_path: Path, name: str) -> None:
    repo = Repo.create(tmp_path / name)
    assert b"+new" in sealed_and_carried(repo.git, repo.tip(), repo.tip())


def test_a_merge_works_in_a_shallow_clone(repo: Repo, tmp_path: Path) -> None:
    for number in range(3):
        repo.commit({"other.txt": f"{number}\n"})
    clone = tmp_path / "clone"
    command = ["git", "clone", "--quiet", "--depth", "2", f"file://{repo.path}", str(clone)]
    subprocess.run(command, check=True, env={"PATH": SEARCH_PATH})
    shallow = Repo(clone)
    assert b"+new" in sealed_and_carried(shallow.git, shallow.tip("HEAD^"), shallow.tip("HEAD"))


def test_the_scratch_repository_has_the_object_format_of_the_owners(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "long")
    repo.path.mkdir()
    repo.run("init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    tip = repo.commit({"a.txt": "a\n"})
    assert len(tip) == 64
    assert b"+new" in sealed_and_carried(repo.git, tip, tip)

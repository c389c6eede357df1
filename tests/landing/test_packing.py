from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gpt_cursor_runner.landing import packing
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.packing import loose_objects, pack_if_many
from tests.building import SEARCH_PATH, Repo
from tests.landing.builders import commit_of


@pytest.fixture
def bare(repo: Repo, tmp_path: Path) -> Git:
    """A bare repository in which landing has left loose objects."""
    path = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", repo.path, path], check=True)
    return Git.at(path, SEARCH_PATH)


def loose_files(git: Git) -> list[Path]:
    return [path for path in git.directory.glob("objects/??/*") if path.is_file()]


def test_many_loose_objects_of_a_bare_repository_are_packed(
    bare: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MANY_OBJECTS", 0)
    unreachable = bare.line("hash-object", "-w", "--stdin", data=b"unreachable")
    bare.run("commit-tree", "main^{tree}", "-m", "loose")
    tip = bare.tip("main")
    assert pack_if_many(bare)
    assert bare.line("cat-file", "-t", unreachable) == "blob"
    bare.run("fsck", "--strict")
    assert bare.tip("main") == tip
    assert not [path for path in loose_files(bare) if path.name == tip[2:]]


def test_few_loose_objects_are_left(bare: Git) -> None:
    before = loose_files(bare)
    assert not pack_if_many(bare)
    assert loose_files(bare) == before


def test_objects_of_a_checkout_are_left_to_its_owner(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MANY_OBJECTS", 0)
    commit_of(repo, {"a.txt": "a\n"})
    assert not pack_if_many(repo.git)


def test_the_number_of_loose_objects_is_estimated(repo: Repo) -> None:
    sample = repo.git.directory / "objects" / "17"
    sample.mkdir(exist_ok=True)
    before = loose_objects(repo.git)
    (sample / ("0" * 38)).touch()
    assert loose_objects(repo.git) == before + 256

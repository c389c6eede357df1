"""No program of the repository (hook, filter, driver) runs between seal and
tag.
"""

from pathlib import Path

import pytest

from gpt_cursor_runner.landing.carrying import carry
from gpt_cursor_runner.landing.landing import compose, diff, diff_stat, has_landed, move_branch, tag
from tests.building import Repo
from tests.landing.builders import ACCEPTED_AT, seal_files

HOOKS = (
    *(
        "applypatch-msg",
        "pre-applypatch",
        "post-applypatch",
        "pre-commit",
        "pre-merge-commit",
        "prepare-commit-msg",
    ),
    *(
        "commit-msg",
        "post-commit",
        "pre-rebase",
        "post-checkout",
        "post-merge",
        "pre-push",
        "pre-receive",
        "update",
    ),
    *(
        "proc-receive",
        "post-receive",
        "post-update",
        "reference-transaction",
        "push-to-checkout",
        "pre-auto-gc",
    ),
    *("post-rewrite", "sendemail-validate", "fsmonitor-watchman", "post-index-change"),
)


def plant(place: Path, sentinel: Path) -> str:
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\ntouch {sentinel}/{place.name}\n")
    place.chmod(0o755)
    return str(place)


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    made = tmp_path / "sentinel"
    made.mkdir()
    return made


@pytest.fixture
def mined(repo: Repo, tmp_path: Path, sentinel: Path) -> Repo:
    """A repository in which each hook and driver writes a file to `sentinel`
    when it runs.
    """
    repo.commit(
        {
            ".gitattributes": "*.py filter=mine diff=mine merge=mine\n",
            "b.py": "1\n2\n3\n4\n5\n6\n7\n8\n",
        }
    )
    for name in HOOKS:
        plant(repo.path / ".git" / "hooks" / name, sentinel)
    programs = {
        name: plant(tmp_path / "programs" / name, sentinel)
        for name in (
            "fsmonitor",
            "textconv",
            "command",
            "external",
            "driver",
            "gpg",
            "editor",
            "pager",
            "askpass",
        )
    }
    for key, name in {
        "core.fsmonitor": "fsmonitor",
        "diff.mine.textconv": "textconv",
        "diff.mine.command": "command",
        "diff.external": "external",
        "merge.mine.driver": "driver",
        "gpg.program": "gpg",
        "core.editor": "editor",
        "core.pager": "pager",
        "core.askPass": "askpass",
        "core.alternateRefsCommand": "editor",
    }.items():
        repo.run("config", key, programs[name])
    for key in ("commit.gpgSign", "tag.gpgSign", "log.showSignature"):
        repo.run("config", key, "true")
    repo.run("config", "merge.verifySignatures", "false")
    return repo


def walk(repo: Repo) -> str:
    """Every step from seal to tag, with a merge on the way."""
    sealed = seal_files(repo, {"b.py": "ONE\n2\n3\n4\n5\n6\n7\n8\n", "c.py": "c\n"})
    plain = (
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "commit.gpgSign=false",
    )
    repo.write({"b.py": "1\n2\n3\n4\n5\n6\n7\nEIGHT\n"})
    repo.run(*plain, "-c", "filter.mine.clean=cat", "commit", "--quiet", "--all", "-m", "Theirs")
    tip = repo.tip()
    carried = carry(repo.git, sealed, tip, ACCEPTED_AT)
    commit = compose(repo.git, carried, "Subject", "", {"Patch-Id": "patch-1"}, ACCEPTED_AT)
    diff(repo.git, tip, commit)
    diff_stat(repo.git, tip, commit)
    move_branch(repo.git, "main", tip, commit)
    assert has_landed(repo.git, "main", commit)
    assert tag(repo.git, "patch-1", commit, "Title", ACCEPTED_AT)
    return commit


def test_no_program_of_a_checked_out_repository_runs(mined: Repo, sentinel: Path) -> None:
    commit = walk(mined)
    assert list(sentinel.iterdir()) == []
    assert mined.tip() == commit
    assert (mined.path / "b.py").read_text() == "ONE\n2\n3\n4\n5\n6\n7\nEIGHT\n"


def test_no_filter_runs_when_no_checkout_follows(
    mined: Repo, tmp_path: Path, sentinel: Path
) -> None:
    """In a checkout the owner's filters must run, or its files would differ
    from the bytes git expects there.
    """
    mined.run("-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "-b", "side")
    for kind in ("clean", "smudge", "process"):
        mined.run("config", f"filter.mine.{kind}", plant(tmp_path / "programs" / kind, sentinel))
    old = mined.tip()
    sealed = seal_files(mined, {"c.py": "c\n"})
    commit = compose(mined.git, sealed, "Subject", "", {"Patch-Id": "patch-1"}, ACCEPTED_AT)
    for file in sentinel.iterdir():
        file.unlink()
    diff(mined.git, old, commit)
    move_branch(mined.git, "main", old, commit)
    assert list(sentinel.iterdir()) == []


def test_the_planted_programs_do_run_for_the_owner(mined: Repo, sentinel: Path) -> None:
    """The control of the tests above."""
    mined.write({"b.py": "changed\n"})
    mined.run("-c", "commit.gpgSign=false", "commit", "--quiet", "--all", "-m", "By hand")
    mined.run("diff", "HEAD~1", "HEAD")
    mined.run(
        "-c", "diff.mine.command=true", "diff", "--no-ext-diff", "--textconv", "HEAD~1", "HEAD"
    )
    ran = {file.name for file in sentinel.iterdir()}
    assert {
        "pre-commit",
        "reference-transaction",
        "post-commit",
        "fsmonitor",
        "command",
        "textconv",
    } <= ran

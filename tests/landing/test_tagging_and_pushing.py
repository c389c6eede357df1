"""After a landing: the tag and the push, both safe to repeat and never forced."""

from pathlib import Path

import pytest

from gpt_cursor_runner.landing.git import GitFailed
from gpt_cursor_runner.landing.landing import push, tag
from tests.building import Repo
from tests.landing.builders import ACCEPTED_AT

ODD = "patch-v3.3.31(P8.13.23)_flask-health-endpoint-hardening"


@pytest.fixture
def remote(repo: Repo, tmp_path: Path) -> Repo:
    repo.run("clone", "--quiet", "--bare", str(repo.path), str(tmp_path / "remote.git"))
    repo.run("remote", "add", "origin", str(tmp_path / "remote.git"))
    return Repo(tmp_path / "remote.git")


def tagged(repo: Repo, name: str, commit: str, title: str = "A title") -> bool:
    return tag(repo.git, name, commit, title, ACCEPTED_AT)


@pytest.mark.parametrize("name", [ODD, "a", "1.0+build", "v1-(x)"])
def test_a_legal_id_becomes_an_annotated_tag(repo: Repo, name: str) -> None:
    assert tagged(repo, name, repo.tip(), "Größe — a title")
    assert repo.run("cat-file", "-t", f"refs/tags/{name}") == "tag"
    assert repo.tip(f"refs/tags/{name}^{{commit}}") == repo.tip()
    description = repo.run(
        "for-each-ref", "--format=%(taggername) %(taggerdate:unix) %(contents)", f"refs/tags/{name}"
    )
    assert description.strip() == "GPT-Cursor Runner 1700000000 Größe — a title"


def test_tagging_again_changes_nothing(repo: Repo) -> None:
    assert tagged(repo, ODD, repo.tip())
    before = repo.state()
    assert tagged(repo, ODD, repo.tip(), "Another title")
    assert repo.state() == before


def test_a_tag_on_another_commit_is_not_moved(repo: Repo) -> None:
    repo.run("tag", ODD)
    first = repo.tip()
    assert not tagged(repo, ODD, repo.commit({"b": "b\n"}))
    assert repo.tip(f"refs/tags/{ODD}") == first


def test_a_title_that_looks_like_a_comment_is_kept(repo: Repo) -> None:
    assert tagged(repo, "patch-1", repo.tip(), "#42 mended")
    assert (
        repo.run("for-each-ref", "--format=%(contents)", "refs/tags/patch-1").strip()
        == "#42 mended"
    )


def test_a_tag_is_not_signed_despite_the_repositorys_settings(repo: Repo) -> None:
    for key in ("tag.gpgSign", "tag.forceSignAnnotated"):
        repo.run("config", key, "true")
    repo.run("config", "gpg.program", "/bin/false")
    assert tagged(repo, "patch-1", repo.tip())


def test_a_landed_commit_and_its_tag_are_pushed_and_a_repeat_succeeds(
    repo: Repo, remote: Repo
) -> None:
    commit = repo.commit({"b": "b\n"})
    tagged(repo, ODD, commit)
    for _ in range(2):
        push(repo.git, "origin", "main", commit, ODD)
    assert remote.tip() == commit
    assert remote.tip(f"refs/tags/{ODD}^{{commit}}") == commit


def test_a_push_without_a_tag_pushes_no_tag(repo: Repo, remote: Repo) -> None:
    repo.run("config", "push.followTags", "true")
    commit = repo.commit({"b": "b\n"})
    tagged(repo, "private", commit)
    push(repo.git, "origin", "main", commit, None)
    assert remote.tip() == commit
    assert remote.run("tag") == ""


def test_a_push_that_is_not_a_fast_forward_is_refused_with_its_tag(
    repo: Repo, remote: Repo, tmp_path: Path
) -> None:
    repo.run("clone", "--quiet", str(remote.path), str(tmp_path / "colleague"))
    colleague = Repo(tmp_path / "colleague")
    theirs = colleague.commit({"theirs": "theirs\n"})
    colleague.run("push", "--quiet", "origin", "main")
    commit = repo.commit({"b": "b\n"})
    tagged(repo, ODD, commit)
    with pytest.raises(GitFailed, match="rejected"):
        push(repo.git, "origin", "main", commit, ODD)
    assert remote.tip() == theirs
    assert remote.run("tag") == ""


def test_a_conflicting_tag_on_the_remote_stops_the_push_of_the_branch(
    repo: Repo, remote: Repo
) -> None:
    remote.run("tag", ODD, "main")
    first, commit = repo.tip(), repo.commit({"b": "b\n"})
    tagged(repo, ODD, commit)
    with pytest.raises(GitFailed, match="already exists"):
        push(repo.git, "origin", "main", commit, ODD)
    assert remote.tip() == first


def test_a_push_runs_no_hook_and_forces_nothing(repo: Repo, remote: Repo, tmp_path: Path) -> None:
    hook = repo.path / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    old = repo.tip()
    push(repo.git, "origin", "main", repo.commit({"b": "b\n"}), None)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(GitFailed):
        push(repo.git, "origin", "main", old, None)


def test_a_missing_remote_fails_with_gits_message(repo: Repo) -> None:
    with pytest.raises(GitFailed, match="does not appear to be a git repository"):
        push(repo.git, "nowhere", "main", repo.tip(), None)


def test_a_remote_named_like_an_option_is_not_an_option(repo: Repo) -> None:
    with pytest.raises(GitFailed, match="--force"):
        push(repo.git, "--force", "main", repo.tip(), None)


def test_a_remote_helper_program_is_not_started(repo: Repo, tmp_path: Path) -> None:
    repo.run("config", "protocol.ext.allow", "always")
    repo.run("remote", "add", "evil", f"ext::sh -c touch% {tmp_path}/ran")
    with pytest.raises(GitFailed, match="transport 'ext' not allowed"):
        push(repo.git, "evil", "main", repo.tip(), None)
    assert not (tmp_path / "ran").exists()

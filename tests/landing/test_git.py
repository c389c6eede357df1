"""How git is called: located, bounded in time, and isolated from all settings
but the runner's.
"""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gpt_cursor_runner.landing.git import OLDEST_GIT, Git, GitFailed, version
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.building import SEARCH_PATH, Repo
from tests.running import is_alive, wait_until


def git_script(directory: Path, script: str) -> str:
    """A search path on which `git` is this shell script."""
    directory.mkdir()
    program = directory / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{directory}:{SEARCH_PATH}"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("git version 2.39.5", (2, 39, 5)),
        ("git version 2.39.5 (Apple Git-154)", (2, 39, 5)),
        ("git version 2.47.windows.1", (2, 47, 0)),
        ("git version 3.0", (3, 0, 0)),
        ("who knows", (0,)),
    ],
)
def test_every_spelling_of_a_version_is_read(
    tmp_path: Path, output: str, expected: tuple[int, ...]
) -> None:
    assert version(git_script(tmp_path / "bin", f"echo '{output}'")) == expected


def test_the_installed_git_is_new_enough() -> None:
    assert version(SEARCH_PATH) >= OLDEST_GIT


def test_a_missing_git_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorldFailed) as failed:
        version(str(tmp_path))
    assert failed.value.code == "git_missing"
    assert "Install git" in failed.value.next_step


def test_a_git_without_execute_permission_is_named(tmp_path: Path) -> None:
    search_path = git_script(tmp_path / "bin", "")
    (tmp_path / "bin" / "git").chmod(0o644)
    with pytest.raises(WorldFailed) as failed:
        version(search_path.split(":")[0])
    assert failed.value.code == "git_missing"


def test_a_directory_without_a_repository_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(WorldFailed) as failed:
        Git.at(tmp_path, SEARCH_PATH)
    assert failed.value.code == "repository_unreachable"
    assert "runner.toml" in failed.value.next_step


def test_a_removed_repository_is_not_reported_as_missing_git(repo: Repo) -> None:
    git = repo.git
    repo.path.rename(repo.path.with_name("elsewhere"))
    with pytest.raises(WorldFailed) as failed:
        git.tip("main")
    assert failed.value.code == "repository_unreachable"


def test_a_repository_without_head_is_not_reported_as_missing_branch(repo: Repo) -> None:
    git = repo.git
    (repo.path / ".git" / "HEAD").unlink()
    with pytest.raises(WorldFailed) as failed:
        git.tip("main")
    assert failed.value.code == "repository_unreachable"


def test_a_missing_branch_is_named(repo: Repo) -> None:
    with pytest.raises(WorldFailed, match="no branch trunk") as failed:
        repo.git.tip("trunk")
    assert failed.value.code == "branch_missing"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user_is_opened(repo: Repo) -> None:
    os.chown(repo.path, 65534, 65534)
    os.chown(repo.path / ".git", 65534, 65534)
    assert repo.git.tip("main")


def test_a_linked_worktree_leads_to_the_same_repository(repo: Repo, tmp_path: Path) -> None:
    repo.run("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    assert Git.at(tmp_path / "side", SEARCH_PATH).directory == repo.git.directory


def test_a_git_that_hangs_is_ended_with_its_children(repo: Repo, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    search_path = git_script(tmp_path / "bin", f"sleep 300 & echo $! $$ > {pids}; wait")
    git = replace(repo.git, search_path=search_path, deadline_seconds=1)
    with pytest.raises(WorldFailed, match="git push took longer") as failed:
        git.run("push")
    assert failed.value.code == "git_timed_out"
    # A process ends a moment after the signal was sent.
    wait_until(
        lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()),
        "something lives on",
    )


def test_a_git_ended_at_its_deadline_leaves_no_lock(repo: Repo, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    slow = hooks / "reference-transaction"
    slow.write_text("#!/bin/sh\n[ $1 = prepared ] && exec sleep 300\nexit 0\n")
    slow.chmod(0o755)
    before = repo.state()
    with pytest.raises(WorldFailed):
        replace(repo.git, hooks=hooks, deadline_seconds=0.5).run(
            "update-ref", "refs/heads/side", repo.tip()
        )
    assert repo.state() == before


def test_a_failure_carries_gits_error_output(repo: Repo) -> None:
    with pytest.raises(
        GitFailed, match="git cat-file exited with 128: fatal: Not a valid object name"
    ) as failed:
        repo.git.run("cat-file", "-p", "nothing")
    assert failed.value.code == 128


def test_settings_of_the_user_are_not_read(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "git").mkdir(parents=True)
    for place in (home / ".gitconfig", home / "git" / "config"):
        place.write_text(
            "[core]\n\tfsmonitor = /bin/false\n[user]\n\tname = Somebody\n[alias]\n\tmine ="
            " status\n"
        )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Somebody")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    listed = repo.git.line("config", "--list", "--show-origin")
    assert "Somebody" not in listed
    assert "alias.mine" not in listed
    assert {line.split("\t")[0] for line in listed.splitlines()} == {
        "command line:",
        f"file:{repo.git.directory}/config",
    }


def test_the_reflog_names_the_runner(repo: Repo) -> None:
    repo.git.run("update-ref", "-m", "gcr: test", "refs/heads/side", repo.tip())
    assert (
        "GPT-Cursor Runner" in (repo.path / ".git" / "logs" / "refs" / "heads" / "side").read_text()
    )


def test_the_environment_of_the_runner_does_not_reach_git(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCR_SECRET", "swordfish")
    environment = repo.git.environment()
    assert "GCR_SECRET" not in environment
    assert not [
        name
        for name in environment
        if not name.startswith("GIT_") and name not in ("PATH", "HOME", "LC_ALL", "TZ")
    ]


def test_attributes_in_the_working_directory_are_ignored(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gitattributes").write_text("* merge=union\n")
    assert repo.git.line("check-attr", "merge", "greeting.py") == "greeting.py: merge: unspecified"


def test_a_short_commit_id_is_resolved_and_nonsense_is_not(repo: Repo) -> None:
    assert repo.git.resolve(repo.tip()[:9]) == repo.tip()
    for nonsense in ("0123456789abcdef", "-h", "--all", "main@{9999}", "main:greeting.py", "", " "):
        assert repo.git.resolve(nonsense) is None


def test_the_hooks_path_holds_no_hooks(repo: Repo) -> None:
    place = repo.git.line("rev-parse", "--git-path", "hooks")
    assert not stat.S_ISDIR(Path(place).stat().st_mode)

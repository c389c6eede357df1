"""`gcr init` writes everything or nothing, in any directory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import Result

from gpt_cursor_runner.config import load_config
from gpt_cursor_runner.ledger.keys import match_key
from tests.building import Repo, make_ledger
from tests.cli.builders import Terminal, refused


@pytest.fixture
def enter_repository(make_repo, monkeypatch):
    """Creates a repository of any name and makes it the current directory."""

    def enter(name="project"):
        repo = make_repo(name)
        monkeypatch.chdir(repo.path)
        return repo

    return enter


def init(terminal: Terminal, *words: str) -> Result:
    return terminal.type("init", *words, configured=False)


def test_it_writes_private_settings_and_shows_a_key_once(terminal, enter_repository):
    repo = enter_repository()
    body = terminal.json("init", "--state", "state", configured=False)
    config = load_config(repo.path / "runner.toml")
    assert (repo.path / "runner.toml").stat().st_mode & 0o777 == 0o600
    assert (repo.path / "state").stat().st_mode & 0o777 == 0o700
    assert (config.repository[0].path, config.repository[0].branch) == (repo.path, "main")
    ledger = make_ledger(repo.path / "state")
    key = match_key(ledger.keys.unrevoked(), body["key"], ledger.clock())
    assert key and key.scopes == {"submit", "read"}
    assert body["key"] not in (repo.path / "runner.toml").read_text()
    ledger.close()


def test_its_own_files_stay_out_of_the_history(terminal, enter_repository):
    repo = enter_repository()
    assert init(terminal, "--state", "my state [1]").exit_code == 0
    assert repo.run("status", "--porcelain") == ""
    repo.write({"my state 1": "another file, which is the owner's"})
    assert repo.run("status", "--porcelain") == '?? "my state 1"'


def test_a_repeat_changes_nothing_and_shows_no_key(terminal, enter_repository):
    repo = enter_repository()
    init(terminal)
    before = repo.state()
    result = init(terminal)
    assert result.exit_code == 0 and "gcr_" not in result.output
    assert terminal.json("init", configured=False)["created"] is False
    assert repo.state() == before


def test_outside_a_repository_it_leaves_nothing(terminal, tmp_path):
    assert "git init" in refused(init(terminal), 1)
    assert list((tmp_path / "here").iterdir()) == []


def test_without_a_commit_it_leaves_nothing(terminal, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    Repo(empty).run("init", "--quiet")
    monkeypatch.chdir(empty)
    assert "no commit" in refused(init(terminal), 1)
    assert not (empty / "runner.toml").exists()


def test_a_missing_branch_is_refused(terminal, enter_repository):
    repo = enter_repository()
    assert "no branch release" in refused(init(terminal, "--branch", "release"), 1)
    assert not (repo.path / "runner.toml").exists()


def test_unusable_values_leave_nothing(terminal, enter_repository, tmp_path):
    repo = enter_repository()
    (tmp_path / "file").write_text("")
    refused(init(terminal, "--state", str(tmp_path / "file" / "state")), 1)
    refused(init(terminal, "--check", "no spaces allowed=true"), 1)
    refused(init(terminal, "--check", "nothing"), 2)
    refused(init(terminal, "--check", "tests='unclosed"), 2)
    assert not (repo.path / "runner.toml").exists()


NAMES = [
    "with space",
    "quo\"te's",
    "grüße",
    "back\\slash",
    "new\nline",
    "tab\t",
    "del\x7f",
    "日本語",
    "-dash",
    "a.git",
    " ",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_directory_can_be_registered(terminal, enter_repository, name):
    repo = enter_repository(name)
    assert init(terminal, "--state", "s t'\"ä").exit_code == 0
    config = load_config(repo.path / "runner.toml")
    assert (config.repository[0].path, config.state.dir) == (repo.path, repo.path / "s t'\"ä")
    assert repo.run("status", "--porcelain") == ""


def test_a_path_that_is_not_text_is_refused_and_nothing_written(terminal, enter_repository):
    repo = enter_repository("caf\udce9")
    assert "UTF-8" in refused(init(terminal), 1)
    assert not (repo.path / "runner.toml").exists()


def test_checks_are_split_into_words_like_a_shell(terminal, enter_repository):
    repo = enter_repository()
    init(
        terminal,
        "--no-try",
        "--check",
        "tests=python3 -m pytest -q",
        "--check",
        "odd=sh -c 'echo \"a b\"'",
    )
    checks = load_config(repo.path / "runner.toml").repository[0].checks
    assert [check.command for check in checks] == [
        ("python3", "-m", "pytest", "-q"),
        ("sh", "-c", 'echo "a b"'),
    ]


def test_it_finds_the_repository_from_inside_and_from_a_worktree(
    terminal, enter_repository, monkeypatch, tmp_path
):
    repo = enter_repository()
    (repo.path / "deep").mkdir()
    monkeypatch.chdir(repo.path / "deep")
    assert init(terminal).exit_code == 0
    assert load_config(repo.path / "deep" / "runner.toml").repository[0].path == repo.path
    repo.run("worktree", "add", "--quiet", str(tmp_path / "beside"), "-b", "side")
    monkeypatch.chdir(tmp_path / "beside")
    assert init(terminal).exit_code == 0
    assert load_config(tmp_path / "beside" / "runner.toml").repository[0].branch == "side"
    assert Repo(tmp_path / "beside").run("status", "--porcelain") == ""


def test_an_exclude_file_in_another_encoding_is_kept(terminal, enter_repository):
    repo = enter_repository()
    exclude = repo.path / ".git" / "info" / "exclude"
    exclude.write_bytes(b"caf\xe9")
    assert init(terminal).exit_code == 0
    assert exclude.read_bytes() == b"caf\xe9\n/runner.toml\n"


TEST = "import unittest, greeting\n\nclass Greeting(unittest.TestCase):\n"
TEST += "    def test_it(self):\n        self.assertEqual(greeting.greet(), 'hi')\n"


def test_it_writes_the_checks_that_work(terminal, enter_repository):
    repo = enter_repository()
    repo.commit({"test_greeting.py": TEST})
    result = init(terminal, "--state", "state")
    assert result.exit_code == 0, result.output
    repository = load_config(repo.path / "runner.toml").repository[0]
    assert repository.sandbox == "required"
    assert [check.command[:3] for check in repository.checks] == [("python3", "-m", "unittest")]
    for text in ("trying    Python unittest", "passed on main", "failed without the sources"):
        assert text in result.stderr
    assert "works     Python unittest" in result.stdout
    assert repo.run("status", "--porcelain") == ""


def test_it_writes_no_check_that_fails_on_the_branch(terminal, enter_repository):
    repo = enter_repository()
    repo.commit({"test_greeting.py": TEST.replace("hi", "bye")})
    body = terminal.json("init", "--state", "state", configured=False)
    assert load_config(repo.path / "runner.toml").repository[0].checks == ()
    tried = body["tried"][0]
    assert (body["worked"], tried["worked"], body["checks"]) == (False, False, [])
    assert tried["failure"]["reason"] == "tests failed on main"
    assert "FAILED (failures=1)" in tried["failure"]["tail"][-1]
    assert "AssertionError" in Path(tried["failure"]["log"]).read_text()
    assert "gcr doctor --checks" in body["next_command"]


def test_it_writes_no_check_that_tests_nothing(terminal, enter_repository):
    repo = enter_repository()
    repo.commit(
        {"test_greeting.py": TEST.replace("greeting.greet()", "'hi'").replace(", greeting", "")}
    )
    body = terminal.json("init", "--state", "state", configured=False)
    assert body["checks"] == []
    assert "every source file is empty" in body["tried"][0]["failure"]["reason"]


def test_a_check_of_the_users_is_tried_and_kept(terminal, enter_repository):
    repo = enter_repository()
    result = init(terminal, "--check", "tests=false")
    assert "tests failed on main" in result.stdout and "no patch can land" in result.stdout
    assert load_config(repo.path / "runner.toml").repository[0].checks[0].command == ("false",)


def test_nothing_runs_with_no_try(terminal, enter_repository):
    repo = enter_repository()
    repo.commit({"test_greeting.py": TEST})
    result = init(terminal, "--no-try")
    assert result.stderr == "" and "None were tried." in result.stdout
    assert load_config(repo.path / "runner.toml").repository[0].checks == ()


def test_without_a_sandbox_the_demand_stays_and_the_remedy_is_named(
    terminal, enter_repository, monkeypatch, tmp_path
):
    repo = enter_repository()
    repo.commit({"test_greeting.py": TEST})
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "python3"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    body = terminal.json("init", "--state", "state", configured=False)
    assert body["sandbox"]["code"] == "not_installed" and body["tried"] == []
    assert body["sandbox"]["next_step"].startswith("Install bubblewrap")
    assert load_config(repo.path / "runner.toml").repository[0].sandbox == "required"


def test_a_weaker_sandbox_is_asked_for_by_name(terminal, enter_repository):
    repo = enter_repository()
    result = init(terminal, "--sandbox", "none", "--no-try")
    assert "checks run unconfined; each report names it" in result.stdout
    assert load_config(repo.path / "runner.toml").repository[0].sandbox == "none"


def test_a_variable_with_a_password_is_named_and_not_written(
    terminal, enter_repository, monkeypatch
):
    repo = enter_repository()
    repo.commit({"test_greeting.py": TEST})
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@packages.example.org/simple")
    result = init(terminal)
    assert "PIP_INDEX_URL holds a password" in result.stdout
    assert "secret" not in result.output + (repo.path / "runner.toml").read_text()

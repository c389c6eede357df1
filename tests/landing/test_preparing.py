"""The workspace of a check: the files of the tree, and the directories that
setup commands made.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.config import Check, Repository, Setup, State
from gpt_cursor_runner.landing.preparing import Preparation, PreparedLayer, SetupFailed, Stores
from gpt_cursor_runner.landing.sandbox.ended import Ended
from gpt_cursor_runner.landing.sandbox.model import Sandbox
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.building import SEARCH_PATH, Repo
from tests.sandboxes import make_sandbox, run_in, text_of

Prepare = Callable[..., Preparation]
DEPENDENCIES = "mkdir -p .deps && cp pins.txt .deps/installed && echo ran >> /workspace/.deps/log"


@pytest.fixture(params=["layered", "copied"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return make_sandbox(is_layered=request.param == "layered")


def a_setup(script: str = DEPENDENCIES, **settings: Any) -> Setup:
    values: dict[str, Any] = {"keyed_by": ("pins.txt",), "provides": (".deps",)}
    return Setup(command=("sh", "-c", script), **{**values, **settings})


@pytest.fixture
def made() -> list[PreparedLayer]:
    """What the preparations of a test reported."""
    return []


@pytest.fixture
def prepare(repo: Repo, tmp_path: Path, sandbox: Sandbox, made: list[PreparedLayer]) -> Prepare:
    repo.commit({"pins.txt": "one\n"})

    def prepare(*setups: Setup) -> Preparation:
        repository = Repository(name="app", path=repo.path, setup=setups)
        return Preparation(
            repository=repository,
            git=repo.git,
            sandbox=sandbox,
            stores=Stores.of(State(dir=tmp_path / "state"), repository),
            workspace=tmp_path / "workspaces" / "patch-1",
            tick=lambda: None,
            report=made.append,
        )

    return prepare


def check(preparation: Preparation, tree: str, *command: str) -> Ended:
    with Workspace(preparation.workspace, preparation.sandbox.user) as workspace:
        mounts = preparation.prepare(workspace, tree)
        return run_in(preparation.sandbox, workspace, *command, mounts=mounts)


def tree_of(repo: Repo, revision: str = "main") -> str:
    return repo.tip(f"{revision}^{{tree}}")


def test_a_layer_is_made_once_for_each_content_of_its_files(
    repo: Repo, prepare: Prepare, made: list[PreparedLayer]
) -> None:
    preparation = prepare(a_setup())
    for contents in ("one", "one", "two", "one"):
        repo.write({"pins.txt": f"{contents}\n"})
        repo.run("add", "--all")
        repo.run("commit", "--quiet", "--allow-empty", "-m", "Next")
        ended = check(preparation, tree_of(repo), "cat", ".deps/installed", ".deps/log")
        assert text_of(ended) == f"{contents}\nran\n"
    assert [layer.ended is not None for layer in made] == [True, False, True, False]
    assert len({layer.key for layer in made}) == 2


def test_a_change_of_the_command_makes_a_new_layer(repo: Repo, prepare: Prepare) -> None:
    keys = [
        prepare(setup).layer_keys(tree_of(repo))[0]
        for setup in (a_setup(), a_setup("true"), a_setup(environment={"A": "b"}))
    ]
    assert len(set(keys)) == 3


def test_a_later_setup_command_sees_the_layers_before_it(repo: Repo, prepare: Prepare) -> None:
    second = a_setup("mkdir built && cat .deps/installed > built/from", provides=("built",))
    ended = check(prepare(a_setup(), second), tree_of(repo), "cat", "built/from")
    assert text_of(ended) == "one\n"


def test_a_directory_below_one_of_the_tree_can_be_provided(repo: Repo, prepare: Prepare) -> None:
    repo.commit({"packages/app/index.js": "app\n"})
    setup = a_setup("mkdir packages/app/deps", provides=("packages/app/deps",))
    script = "ls packages/app; touch packages/app/made"
    ended = check(prepare(setup), tree_of(repo), "sh", "-c", script)
    assert (text_of(ended).split(), ended.status) == (["deps", "index.js"], "passed")


def test_a_generated_file_can_be_provided(
    repo: Repo, prepare: Prepare, made: list[PreparedLayer]
) -> None:
    repo.commit({"src/app.py": "from version import *\n"})
    script = "mkdir -p .deps; echo 'VERSION = 7' > src/version.py"
    check(prepare(a_setup(script)), tree_of(repo), "true")
    if make_sandbox().layered and made[0].generated:
        assert made[0].generated == ("src/version.py",)
    provides = (".deps", "src/version.py")
    ended = check(
        prepare(a_setup(script, provides=provides)), tree_of(repo), "cat", "src/version.py"
    )
    assert text_of(ended) == "VERSION = 7\n"


@pytest.mark.parametrize("path", [".deps", ".deps/deep/file", "src/version.py"])
def test_nothing_that_setup_provides_hides_a_file_of_the_tree(
    repo: Repo, prepare: Prepare, path: str
) -> None:
    """The checks would not test the patch."""
    repo.commit({path: "of the patch\n"})
    with pytest.raises(WorldFailed, match="in its place") as failed:
        check(prepare(a_setup(provides=(".deps", "src/version.py"))), tree_of(repo), "true")
    assert failed.value.code == "setup_hides_tree"


def test_a_check_cannot_change_a_layer_for_later_checks(repo: Repo, prepare: Prepare) -> None:
    preparation = prepare(a_setup())
    check(preparation, tree_of(repo), "sh", "-c", "echo poisoned > .deps/installed")
    assert text_of(check(preparation, tree_of(repo), "cat", ".deps/installed")) == "one\n"


def test_a_failed_setup_command_keeps_nothing(repo: Repo, prepare: Prepare) -> None:
    preparation = prepare(a_setup("mkdir .deps; echo broken; exit 3"))
    for _ in range(2):
        with pytest.raises(SetupFailed) as failed:
            check(preparation, tree_of(repo), "true")
        assert failed.value.ended.exit_code == 3
        assert failed.value.ended.output == b"broken\n"


@pytest.mark.parametrize("script", ["true", "ln -s /usr .deps"])
def test_a_path_that_was_not_made_is_named(repo: Repo, prepare: Prepare, script: str) -> None:
    with pytest.raises(WorldFailed, match=r"did not make \.deps") as failed:
        check(prepare(a_setup(script)), tree_of(repo), "true")
    assert failed.value.code == "setup_provides_missing"


def test_a_cache_is_kept_for_the_next_run(repo: Repo, prepare: Prepare) -> None:
    script = "mkdir -p .deps; cat ~/.cache/tool/runs; echo run >> ~/.cache/tool/runs"
    for contents in ("two\n", "three\n"):
        repo.commit({"pins.txt": contents})
        preparation = prepare(
            a_setup(f"{script}; cp ~/.cache/tool/runs .deps", caches=("~/.cache/tool",))
        )
        ended = check(preparation, tree_of(repo), "cat", ".deps/runs")
    assert text_of(ended) == "run\nrun\n"


def test_without_a_sandbox_setup_runs_in_the_workspace(
    repo: Repo, prepare: Prepare, made: list[PreparedLayer]
) -> None:
    script = "mkdir -p .deps && cp pins.txt .deps/installed"
    preparation = replace(prepare(a_setup(script)), sandbox=make_sandbox("none"))
    ended = check(preparation, tree_of(repo), "cat", ".deps/installed")
    assert text_of(ended) == "one\n"
    assert made[0].key == ""


# The files of the branch, kept between patches.


CHANGES: list[dict[str, str | None]] = [
    {"a/b/c.txt": "deep\n", "a/d.txt": "d\n", "run.sh": "#!/bin/sh\n"},
    {"a/b/c.txt": "changed\n"},
    {"a/b/c.txt": None, "a/b": "a file in place of a directory\n"},
    {"a/b": None, "a/b/e.txt": "and back\n", "a/d.txt": None},
    {"greeting.py": None, "greeting.py/now.txt": "a directory\n"},
    {},
]


def test_the_files_follow_every_change_of_the_tree(
    repo: Repo, prepare: Prepare, tmp_path: Path, sandbox: Sandbox
) -> None:
    preparation = prepare()
    trees = [tree_of(repo)]
    for files in CHANGES:
        for path, text in files.items():
            if text is None:
                repo.run("rm", "--quiet", "-r", path)
        repo.write({path: text for path, text in files.items() if text is not None})
        (repo.path / "link").unlink(missing_ok=True)
        (repo.path / "link").symlink_to(f"target-{len(trees)}")
        (repo.path / "run.sh").chmod(0o755 if len(trees) % 2 else 0o644)
        repo.run("add", "--all")
        repo.run("commit", "--quiet", "-m", "Next")
        trees.append(tree_of(repo))
    for tree in [*trees, *reversed(trees), trees[3], trees[0]]:
        with Workspace(tmp_path / "fresh") as fresh:
            fresh.fill(repo.git, tree)
            with Workspace(preparation.workspace, sandbox.user) as workspace:
                preparation.prepare(workspace, tree)
                laid_out = workspace.lower[0] if workspace.lower else workspace.tree
                assert listing(laid_out) == listing(fresh.tree)


def listing(directory: Path) -> dict[str, object]:
    """Every path below a directory with its mode and content."""
    facts: dict[str, object] = {}
    for path in directory.rglob("*"):
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        facts[str(path.relative_to(directory))] = (path.lstat().st_mode, content)
    return facts


@pytest.mark.parametrize("sandbox", ["layered"], indirect=True)
def test_one_change_writes_one_file(repo: Repo, prepare: Prepare) -> None:
    repo.commit({f"d{number}/file.txt": "x\n" for number in range(50)})
    preparation = prepare()
    assert check(preparation, tree_of(repo), "true").status == "passed"
    files = preparation.stores.pristine / "files"
    before = {path: path.stat().st_ino for path in files.rglob("*.txt")}
    repo.commit({"d7/file.txt": "changed\n"})
    assert check(preparation, tree_of(repo), "true").status == "passed"
    changed = [path for path in before if path.stat().st_ino != before[path]]
    assert changed in ([files / "d7/file.txt"], [])  # an inode may be used again
    assert (files / "d7/file.txt").read_text() == "changed\n"


@pytest.mark.parametrize("sandbox", ["layered"], indirect=True)
def test_files_of_an_interrupted_update_are_not_used(
    repo: Repo, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation = prepare()
    check(preparation, tree_of(repo), "true")
    repo.commit({"new.txt": "new\n"})

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("gpt_cursor_runner.landing.tree_files._write_blob", kill)
        check(preparation, tree_of(repo), "true")
    (preparation.stores.pristine / "files" / "README.md").write_text("half written")
    assert (
        text_of(check(preparation, tree_of(repo), "cat", "README.md", "new.txt")) == "# App\nnew\n"
    )


@pytest.mark.parametrize("sandbox", ["layered"], indirect=True)
def test_files_of_an_earlier_boot_are_not_used(
    repo: Repo, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were not synced, and a power cut may have emptied them."""
    preparation = prepare()
    check(preparation, tree_of(repo), "true")
    (preparation.stores.pristine / "files" / "README.md").write_text("")
    (tmp_path / "boot_id").write_text("another boot\n")
    monkeypatch.setattr("gpt_cursor_runner.landing.pristine._BOOT_ID", tmp_path / "boot_id")
    assert text_of(check(preparation, tree_of(repo), "cat", "README.md")) == "# App\n"


def test_the_files_belong_to_the_user_of_the_checks(
    repo: Repo, prepare: Prepare, sandbox: Sandbox
) -> None:
    repo.commit({"a/b.txt": "x\n"})
    script = "echo y >> a/b.txt && rm README.md && mkdir a/new && stat -c %u . a a/b.txt"
    ended = check(prepare(), tree_of(repo), "sh", "-c", script)
    assert text_of(ended).split() == ["1000"] * 3
    uid = os.geteuid() if sandbox.user is None else sandbox.user.uid
    assert uid != 0


# The history that a check sees.


@pytest.mark.parametrize("demand", ["required", "none"])
def test_a_check_may_have_the_history_of_the_branch(
    repo: Repo, prepare: Prepare, tmp_path: Path, demand: str
) -> None:
    repo.run("tag", "--annotate", "-m", "First", "v1.0")
    repo.run("tag", "light", "main~1")
    repo.commit({"new.txt": "new\n"})
    preparation = prepare()
    if demand == "none":
        preparation = replace(preparation, sandbox=make_sandbox("none", SEARCH_PATH))
    script = """
        git status --short && git describe --tags && git rev-list --count HEAD && git branch
        git tag && echo changed >> new.txt && git commit -qam Mine && git log --format=%s -1"""
    before = repo.state()
    with preparation.open(tree_of(repo), repo.tip()) as ready:
        checks = [
            Check(name="history", command=("sh", "-c", script), git=True),
            Check(name="plain", command=("git", "status")),
        ]
        history, plain = (ready.run(check, tmp_path / "log") for check in checks)
    assert history.tail.splitlines() == [
        "v1.0-1-g" + repo.tip()[:7],
        "3",
        "* main",
        "light",
        "v1.0",
        "Mine",
    ]
    assert plain.status == ("failed" if demand == "required" else "passed")
    assert repo.state() == before


def test_a_history_has_none_of_the_owners_settings(
    repo: Repo, prepare: Prepare, tmp_path: Path
) -> None:
    repo.run("config", "remote.origin.url", "https://token@example.org/app.git")
    script = "git config --list && ls .git/hooks 2>/dev/null"
    check = Check(name="settings", command=("sh", "-c", script), git=True)
    with prepare().open(tree_of(repo), repo.tip()) as ready:
        assert "token" not in ready.run(check, tmp_path / "log").tail

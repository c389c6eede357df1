"""Files are read from a commit, whatever their names and sizes."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpt_cursor_runner.formats.tree import Merged
from gpt_cursor_runner.landing import commit_tree
from gpt_cursor_runner.landing.commit_tree import CommitTree
from gpt_cursor_runner.landing.objects import Objects
from gpt_cursor_runner.patch.faults import PatchRefused, WorldFailed
from tests.building import Repo
from tests.landing.builders import git_with_script, look


@pytest.fixture(params=["sha1", "sha256"])
def rich(request: pytest.FixtureRequest, tmp_path: Path) -> Repo:
    """A repository with every kind of entry, for both kinds of object ids."""
    path = tmp_path / "rich"
    path.mkdir()
    made = Repo(path)
    made.run("init", "--quiet", "--initial-branch=main", f"--object-format={request.param}")
    made.write(
        {"plain.txt": "plain\n", "tool.sh": "#!/bin/sh\n", "deep/er/file": b"\0\xff", "empty": b""}
    )
    (path / "tool.sh").chmod(0o755)
    (path / "link").symlink_to("deep")
    made.run("add", "--all")
    made.run("commit", "--quiet", "-m", "First")
    made.run("update-index", "--add", "--cacheinfo", f"160000,{made.tip()},module")
    made.run("commit", "--quiet", "-m", "Second")
    return made


@pytest.fixture
def tree(rich: Repo) -> Iterator[CommitTree]:
    with Objects(rich.git) as objects:
        yield CommitTree(objects, rich.tip("main^{tree}"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("plain.txt", "file"),
        ("tool.sh", "executable"),
        ("link", "symlink"),
        ("module", "submodule"),
        ("deep", "directory"),
        ("deep/er", "directory"),
        ("deep/er/file", "file"),
        ("nothing", None),
        ("deep/nothing", None),
        ("PLAIN.TXT", None),
        ("plain.txt/below", None),
        ("link/er", None),
        ("link/er/file", None),
        ("module/below", None),
        ("", None),
    ],
)
def test_every_kind_of_entry_is_distinguished(
    tree: CommitTree, path: str, kind: str | None
) -> None:
    assert tree.kind(path) == kind


def test_files_are_read_byte_for_byte(tree: CommitTree) -> None:
    assert tree.read("deep/er/file") == b"\0\xff"
    assert tree.read("empty") == b""
    assert tree.read("tool.sh") == b"#!/bin/sh\n"


@pytest.mark.parametrize("path", ["link", "module", "deep", "nothing", "link/er/file"])
def test_only_files_are_read(tree: CommitTree, path: str) -> None:
    with pytest.raises(KeyError):
        tree.read(path)


def test_names_are_the_direct_entries_of_a_directory(tree: CommitTree) -> None:
    assert tree.names("") == {"plain.txt", "tool.sh", "deep", "empty", "link", "module"}
    assert tree.names("deep") == {"er"}
    assert tree.names("link") == set()
    assert tree.names("plain.txt") == set()


def test_a_name_that_is_not_utf_8_is_kept(repo: Repo) -> None:
    name = b"caf\xe9.txt".decode(errors="surrogateescape")
    (repo.path / name).write_bytes(b"latin\n")
    repo.commit({})
    assert look(repo, lambda tree: tree.read(name)) == b"latin\n"


def test_a_large_file_and_the_next_file_are_read_completely(repo: Repo) -> None:
    large = b"0123456789abcdef" * (3 << 16) + b"end"
    repo.commit({"large.bin": large, "small": "small\n"})
    contents = look(repo, lambda tree: (tree.read("large.bin"), tree.read("small")))
    assert contents == (large, b"small\n")


def test_a_file_beyond_the_bound_is_refused_and_not_read(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_tree, "MAX_BLOB_BYTES", 10)
    repo.commit({"exact": "0123456789", "beyond": "0123456789a"})
    assert look(repo, lambda tree: tree.read("exact")) == b"0123456789"
    with pytest.raises(PatchRefused, match="beyond has 11 bytes") as refused:
        look(repo, lambda tree: tree.read("beyond"))
    assert refused.value.faults[0].code == "too_large"


def test_a_missing_object_is_named(repo: Repo) -> None:
    blob = repo.tip("main:greeting.py")
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(WorldFailed, match=blob) as failed:
        look(repo, lambda tree: tree.read("greeting.py"))
    assert failed.value.code == "object_missing"


def test_a_dead_git_is_not_reported_as_missing_object(repo: Repo) -> None:
    with Objects(repo.git) as objects:
        objects._process.kill()
        objects._process.wait()
        with pytest.raises(WorldFailed) as failed:
            objects.header("HEAD")
    assert failed.value.code == "git_stopped"


def test_a_git_that_stops_answering_is_killed(repo: Repo, tmp_path: Path) -> None:
    stuck = git_with_script(repo, tmp_path / "bin", "cat-file", "sleep 300", patience=0.3)
    with Objects(stuck) as objects, pytest.raises(WorldFailed) as failed:
        objects.header("HEAD")
    assert failed.value.code == "git_stopped"


def test_time_between_two_requests_does_not_count_to_the_deadline(repo: Repo) -> None:
    with Objects(replace(repo.git, deadline_seconds=0.1)) as objects:
        assert objects.header("nothing") is None
        time.sleep(0.3)
        assert objects._process.poll() is None


def test_no_process_is_left_after_reading(repo: Repo) -> None:
    with Objects(repo.git) as objects:
        process: subprocess.Popen[bytes] = objects._process
    assert process.returncode is not None
    assert process.stdout is not None
    assert process.stdout.closed


def test_a_blob_is_read_by_its_full_or_shortened_id(rich: Repo, tree: CommitTree) -> None:
    oid = rich.tip("main:plain.txt")
    assert tree.blob(oid) == tree.blob(oid[:7]) == b"plain\n"
    assert tree.blob(rich.tip("main:empty")) == b""
    rich.commit({"plain.txt": "newer\n"})
    assert tree.blob(oid) == b"plain\n"


def test_the_id_of_another_kind_of_object_reads_nothing(rich: Repo, tree: CommitTree) -> None:
    for oid in (
        rich.tip("main"),
        rich.tip("main:deep"),
        "0" * 40,
        "f" * 64,
        rich.tip("main:plain.txt")[:6],
        "",
    ):
        assert tree.blob(oid) is None, oid
    assert tree.read("plain.txt") == b"plain\n"


@pytest.mark.parametrize(
    "name",
    ["HEAD:plain.txt", "main:plain.txt", ":plain.txt", "deadbeef", "x\nmain:plain.txt", "-h"],
)
def test_a_name_that_is_not_an_id_reads_nothing(rich: Repo, tree: CommitTree, name: str) -> None:
    rich.run("tag", "deadbeef", rich.tip("main:plain.txt"))
    assert tree.blob(name) is None
    assert tree.read("plain.txt") == b"plain\n"


def test_an_ambiguous_short_id_reads_nothing(repo: Repo) -> None:
    twins = ["4827\n", "11742\n"]
    repo.commit({"one": twins[0], "other": twins[1]})
    first, second = repo.tip("main:one"), repo.tip("main:other")
    assert first[:7] == second[:7]
    assert look(repo, lambda tree: tree.blob(first[:7])) is None
    assert look(repo, lambda tree: tree.blob(second)) == twins[1].encode()


def test_a_blob_beyond_the_bound_is_not_read(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_tree, "MAX_BLOB_BYTES", 10)
    repo.commit({"exact": "0123456789", "beyond": "0123456789a"})
    contents = look(
        repo,
        lambda tree: [tree.blob(repo.tip(f"main:{name}")) for name in ("exact", "beyond", "exact")],
    )
    assert contents == [b"0123456789", None, b"0123456789"]


def test_git_merges_two_texts_and_labels_both_sides(repo: Repo) -> None:
    base, ours = b"1\n2\n3\n4\n5\n", b"one\n2\n3\n4\n5\n"
    assert look(repo, lambda tree: tree.merge(base, ours, b"1\n2\n3\n4\nfive\n")) == Merged(
        b"one\n2\n3\n4\nfive\n", 0
    )
    text = b"<<<<<<< the branch\none\n=======\nuno\n>>>>>>> the patch\n2\n3\n4\n5\n"
    assert look(repo, lambda tree: tree.merge(base, ours, base.replace(b"1", b"uno"))) == Merged(
        text, 1
    )

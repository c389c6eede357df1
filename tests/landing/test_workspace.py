"""Temporary workspaces hold the exact bytes of the tree and leave nothing
behind.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.landing.workspace import Workspace, remove, sweep
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.building import Repo
from tests.landing.builders import seal_files, without_root
from tests.running import is_alive, wait_until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "workspaces" / "patch-1"


def filled(repo: Repo, place: Path, revision: str = "main") -> Workspace:
    workspace = Workspace(place).__enter__()
    workspace.fill(repo.git, repo.tip(f"{revision}^{{tree}}"))
    return workspace


def test_a_tree_is_written_out_with_bytes_links_and_modes(repo: Repo, place: Path) -> None:
    repo.write(
        {
            "crlf.txt": b"a\r\nb\r\n",
            "bin": bytes(range(256)),
            "empty": b"",
            "de/ep/er": "deep\n",
            "tool": "x\n",
        }
    )
    (repo.path / "tool").chmod(0o755)
    (repo.path / "link").symlink_to("de/ep")
    (repo.path / "broken").symlink_to("/nowhere/at all")
    (repo.path / os.fsdecode(b"caf\xe9")).write_bytes(b"latin\n")
    repo.commit({})
    tree = filled(repo, place).tree
    assert (tree / "crlf.txt").read_bytes() == b"a\r\nb\r\n"
    assert (tree / "bin").read_bytes() == bytes(range(256))
    assert (tree / "empty").read_bytes() == b""
    assert (tree / "de" / "ep" / "er").read_text() == "deep\n"
    assert (tree / "link").readlink() == Path("de/ep")
    assert (tree / "broken").readlink() == Path("/nowhere/at all")
    assert (tree / os.fsdecode(b"caf\xe9")).read_bytes() == b"latin\n"
    assert {
        file.name for file in tree.iterdir() if os.access(file, os.X_OK) and file.is_file()
    } == {"tool"}
    assert not (tree / ".git").exists()


@pytest.mark.parametrize(
    "attributes",
    [
        "* text=auto eol=crlf",
        "* ident",
        "* export-subst",
        "* export-ignore",
        "* filter=mine",
        "* working-tree-encoding=UTF-16",
    ],
)
def test_attributes_do_not_change_the_written_tree(
    repo: Repo, place: Path, attributes: str
) -> None:
    repo.run("config", "filter.mine.smudge", "sed s/a/b/")
    data = b"a\n$Id$ $Format:%H$\r\n"
    sealed = seal_files(repo, {"file.txt": data, ".gitattributes": f"{attributes}\n"})
    assert (filled(repo, place, sealed.commit).tree / "file.txt").read_bytes() == data


def test_a_submodule_is_an_empty_directory(repo: Repo, place: Path) -> None:
    repo.run("update-index", "--add", "--cacheinfo", f"160000,{repo.tip()},module")
    repo.run("commit", "--quiet", "-m", "Module")
    assert list((filled(repo, place).tree / "module").iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "../../escaped", "/etc/escaped", "a/b"])
def test_a_name_that_leads_out_of_the_workspace_is_refused(
    repo: Repo, place: Path, name: str
) -> None:
    blob = repo.tip("main:README.md")
    raw = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
    tree = repo.run("hash-object", "-t", "tree", "-w", "--stdin", "--literally", data=raw)
    with (
        Workspace(place) as workspace,
        pytest.raises(WorldFailed, match="out of the workspace") as failed,
    ):
        workspace.fill(repo.git, tree)
    assert failed.value.code == "tree_unsafe"
    assert not list(place.parent.rglob("escaped"))


@pytest.mark.parametrize(
    ("mode", "points_to"), [(b"40000", "outside"), (b"100644", "outside/file")]
)
def test_a_link_in_the_tree_is_not_written_through(
    repo: Repo, place: Path, tmp_path: Path, mode: bytes, points_to: str
) -> None:
    """A tree may hold one name twice: a link, and then something in its place."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link = repo.run("hash-object", "-w", "--stdin", data=str(tmp_path / points_to).encode())
    second = repo.tip("main^{tree}" if mode == b"40000" else "main:README.md")
    raw = b"120000 x\0" + bytes.fromhex(link) + mode + b" x\0" + bytes.fromhex(second)
    tree = repo.run("hash-object", "-t", "tree", "-w", "--stdin", "--literally", data=raw)
    with Workspace(place) as workspace, pytest.raises(WorldFailed, match="twice"):
        workspace.fill(repo.git, tree)
    assert list(outside.iterdir()) == []


def test_a_missing_object_is_named(repo: Repo, place: Path) -> None:
    blob = repo.tip("main:greeting.py")
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with Workspace(place) as workspace, pytest.raises(WorldFailed, match=blob):
        workspace.fill(repo.git, repo.tip("main^{tree}"))


def test_filling_calls_tick_for_every_directory(repo: Repo, place: Path) -> None:
    repo.commit({f"d{number}/x": "x\n" for number in range(5)})
    ticks: list[None] = []
    with Workspace(place) as workspace:
        workspace.fill(repo.git, repo.tip("main^{tree}"), lambda: ticks.append(None))
    assert len(ticks) == 6


def test_a_workspace_begins_empty_and_is_removed(place: Path) -> None:
    (place / "tree").mkdir(parents=True)
    (place / "tree" / "left over").touch()
    with Workspace(place) as workspace:
        assert [entry.name for entry in workspace.tree.iterdir()] == []
        assert {entry.name for entry in place.iterdir()} == {
            "tree",
            "upper",
            "work",
            "home",
            "tmp",
        }
        assert all(entry.stat().st_mode & 0o077 == 0 for entry in place.iterdir())
    assert not place.exists()


def test_a_workspace_is_removed_after_an_error(place: Path) -> None:
    with pytest.raises(RuntimeError), Workspace(place):
        raise RuntimeError
    assert not place.exists()


def test_directories_without_permissions_are_removed(open_directory: Path) -> None:
    def close_and_remove() -> None:
        deep = open_directory / "ws" / "a" / "b" / "c"
        deep.mkdir(parents=True)
        (deep / "file").touch()
        (open_directory / "ws" / "read-only").mkdir()
        (open_directory / "ws" / "read-only" / "file").touch()
        (open_directory / "ws" / "read-only").chmod(0o555)
        for directory in (deep, deep.parent, deep.parent.parent):
            directory.chmod(0)
        remove(open_directory / "ws")

    without_root(close_and_remove)
    assert not (open_directory / "ws").exists()


def test_the_target_of_a_link_is_neither_removed_nor_changed(open_directory: Path) -> None:
    outside = open_directory / "outside"
    outside.mkdir()
    (outside / "precious").touch()

    def link_and_remove() -> None:
        closed = open_directory / "ws" / "closed"
        closed.mkdir(parents=True)
        (closed / "link").symlink_to(outside)
        (open_directory / "ws" / "link").symlink_to(outside)
        closed.chmod(0)
        remove(open_directory / "ws")

    outside.chmod(0o555)
    without_root(link_and_remove)
    assert not (open_directory / "ws").exists()
    assert [file.name for file in outside.iterdir()] == ["precious"]
    assert outside.stat().st_mode & 0o777 == 0o555


def test_directories_nested_deeper_than_the_path_limit_are_removed(place: Path) -> None:
    place.mkdir(parents=True)
    dig = "import os\nfor _ in range(1100): os.mkdir('d' * 8); os.chdir('d' * 8)"
    subprocess.run([sys.executable, "-c", dig], cwd=place, check=True)
    try:
        remove(place)
        assert not place.exists()
    finally:
        subprocess.run(
            ["rm", "-rf", str(place)], check=True
        )  # pytest's own tidying would stumble over it


@pytest.mark.parametrize("kind", ["file", "link", "nothing"])
def test_anything_in_the_place_of_a_workspace_is_removed(
    place: Path, tmp_path: Path, kind: str
) -> None:
    place.parent.mkdir()
    if kind == "file":
        place.touch()
    if kind == "link":
        place.symlink_to(tmp_path)
    remove(place)
    assert not place.is_symlink()
    assert not place.exists()
    assert tmp_path.is_dir()


def leave_running(place: Path, script: str) -> subprocess.Popen[bytes]:
    """A process group in a workspace, as a killed runner leaves it."""
    workspace = Workspace(place).__enter__()
    process = subprocess.Popen(
        ["/bin/sh", "-c", script],
        cwd=workspace.tree,
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    workspace.note_group(process.pid)
    return process


def child_of(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_the_processes_and_files_of_a_killed_runner_are_removed(place: Path) -> None:
    process = leave_running(place, "trap '' TERM; sleep 300 & echo $!; wait")
    child = child_of(process)
    assert sweep(place.parent) == ["patch-1"]
    process.wait(5)
    wait_until(lambda: not is_alive(child), "the child is still alive")
    assert not place.exists()


def test_children_of_an_ended_group_leader_are_ended(place: Path) -> None:
    process = leave_running(place, "sleep 300 & echo $!")
    child = child_of(process)
    process.wait(5)
    assert sweep(place.parent) == ["patch-1"]
    wait_until(lambda: not is_alive(child), "the child is still alive")


@pytest.mark.parametrize(
    "note", ["{pid} {other}", "{pid}", "", "none at all", "0 {began}", "-1 {began}"]
)
def test_an_unrelated_process_with_the_noted_number_is_not_ended(place: Path, note: str) -> None:
    process = leave_running(place, "exec sleep 300")
    began = psutil.Process(process.pid).create_time()
    (place / "process-group").write_text(
        note.format(pid=process.pid, began=began, other=began - 60)
    )
    assert sweep(place.parent) == ["patch-1"]
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_small_clock_change_does_not_hide_the_process_group(place: Path) -> None:
    process = leave_running(place, "exec sleep 300")
    began = psutil.Process(process.pid).create_time()
    (place / "process-group").write_text(f"{process.pid} {began - 1}")
    sweep(place.parent)
    assert process.wait(5) < 0


def test_sweeping_an_empty_directory_removes_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "never made") == []
    (tmp_path / "empty").mkdir()
    assert sweep(tmp_path / "empty") == []


def test_a_stray_file_among_the_workspaces_is_removed(place: Path) -> None:
    place.mkdir(parents=True)
    (place.parent / "stray").touch()
    assert sweep(place.parent) == ["patch-1", "stray"]
    assert list(place.parent.iterdir()) == []

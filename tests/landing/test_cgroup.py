"""The kernel bounds a command in a cgroup, and the limit it reached is named."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.config import SandboxLimits
from gpt_cursor_runner.landing.sandbox import cgroup
from gpt_cursor_runner.landing.sandbox.cgroup import (
    Cgroup,
    CgroupParents,
    parents_version_1,
    parents_version_2,
)
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from tests.sandboxes import LIMITS, lay_out, make_sandbox, run_in

# It passes at the first refused process: only the counter of the cgroup shows
# that there was one.
FORK_AND_PASS = """if True:
    import os, time
    try:
        while os.fork():
            pass
        time.sleep(30)
    except OSError:
        os._exit(0)"""

OWN = "0::/user.slice/runner.service/runner\n"


@pytest.fixture
def delegated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A delegated cgroup of version 2, above that of this process."""
    parent = tmp_path / "user.slice" / "runner.service"
    (parent / "runner").mkdir(parents=True)
    (parent / "cgroup.procs").write_text("")
    (parent / "cgroup.controllers").write_text("cpu memory pids\n")
    (parent / "cgroup.subtree_control").write_text("memory pids\n")
    monkeypatch.setattr(cgroup, "_is_delegated", lambda path: path == parent)
    return parent


def test_the_delegated_cgroup_above_the_own_one_is_used(tmp_path: Path, delegated: Path) -> None:
    parents = parents_version_2(OWN, tmp_path)
    assert parents == CgroupParents(2, delegated, delegated)
    assert (delegated / "cgroup.subtree_control").read_text() == "memory pids\n"


def test_missing_controllers_are_enabled(tmp_path: Path, delegated: Path) -> None:
    (delegated / "cgroup.subtree_control").write_text("cpu pids\n")
    assert parents_version_2(OWN, tmp_path) is not None
    assert (delegated / "cgroup.subtree_control").read_text() == "+memory"


def give_no_controllers(parent: Path) -> None:
    (parent / "cgroup.controllers").write_text("cpu\n")
    (parent / "cgroup.subtree_control").write_text("\n")


def put_a_process(parent: Path) -> None:
    (parent / "cgroup.procs").write_text("17\n")


def unmount(parent: Path) -> None:
    (parent / "cgroup.procs").unlink()


@pytest.mark.parametrize("spoil", [give_no_controllers, put_a_process, unmount])
def test_a_cgroup_that_cannot_be_divided_is_not_used(
    tmp_path: Path, delegated: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(delegated)
    assert parents_version_2(OWN, tmp_path) is None


@pytest.mark.parametrize("own", ["0::/\n", "", "0::/user.slice/other.service/x\n"])
def test_a_cgroup_that_is_not_delegated_is_not_used(
    tmp_path: Path, delegated: Path, own: str
) -> None:
    assert parents_version_2(own, tmp_path) is None


def test_version_1_uses_hierarchies_at_whose_root_this_process_is(tmp_path: Path) -> None:
    for name in ("memory", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    managed = "8:pids:/\n4:memory:/docker/1234\n0::/\n"
    assert parents_version_1(managed, tmp_path) == CgroupParents(1, None, tmp_path / "pids")
    assert parents_version_1("4:memory:/docker/1\n", tmp_path) is None
    both = parents_version_1("8:pids:/\n4:memory:/\n", tmp_path)
    assert both == CgroupParents(1, tmp_path / "memory", tmp_path / "pids")


@pytest.mark.parametrize(("version", "name"), [(1, "memory.limit_in_bytes"), (2, "memory.max")])
def test_the_limits_are_written(tmp_path: Path, version: int, name: str) -> None:
    created = CgroupParents(version, tmp_path, tmp_path).create(SandboxLimits(memory_mb=100))
    assert created.memory is not None
    assert (created.memory / name).read_text() == str(100 << 20)
    assert (created.memory / "pids.max").read_text() == "1024"


def test_a_refused_cgroup_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(WorldFailed, match="no cgroup") as failed:
        CgroupParents(2, tmp_path / "gone", tmp_path / "gone").create(LIMITS)
    assert failed.value.code == "sandbox_failed"


@pytest.mark.parametrize(
    ("file", "text", "limit"),
    [
        ("memory.events", "oom 1\noom_kill 1\n", "memory"),
        ("memory.oom_control", "under_oom 0\noom_kill 2\n", "memory"),
        ("pids.events", "max 3\n", "processes"),
        ("memory.events", "oom 1\noom_kill 0\n", None),
        ("pids.events", "max 0\n", None),
    ],
)
def test_the_counters_name_the_limit(
    tmp_path: Path, file: str, text: str, limit: str | None
) -> None:
    (tmp_path / file).write_text(text)
    assert Cgroup(tmp_path, tmp_path).exceeded() == limit


def test_cgroups_of_ended_runners_are_removed(tmp_path: Path) -> None:
    ended = max(psutil.pids()) + 1
    while psutil.pid_exists(ended):
        ended += 1
    for name in (f"gcr-{ended}-0", f"gcr-{os.getpid()}-0", "other-1-0", "gcr-x-0"):
        (tmp_path / name).mkdir()
    CgroupParents(2, tmp_path, tmp_path).remove_abandoned()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"gcr-{os.getpid()}-0", "other-1-0", "gcr-x-0"}


@pytest.mark.parametrize("is_layered", [True, False])
def test_a_reached_limit_is_named_over_the_exit_code(tmp_path: Path, is_layered: bool) -> None:
    sandbox = make_sandbox(is_layered=is_layered)
    parents = sandbox.cgroups
    if parents.pids is None:
        pytest.skip("no cgroup can be made here")
    with_limit = replace(sandbox, limits=LIMITS.model_copy(update={"processes": 40}))
    with Workspace(tmp_path / "workspace", sandbox.user) as workspace:
        lay_out(workspace, sandbox, {"x": "x"})
        ended = run_in(with_limit, workspace, "/usr/bin/python3", "-c", FORK_AND_PASS)
    assert (ended.status, ended.limit) == ("over_limit", "processes")
    assert list(parents.pids.glob(f"gcr-{os.getpid()}-*")) == []

"""Real sandboxes for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from gpt_cursor_runner.config import Repository, SandboxedCommand, SandboxLimits
from gpt_cursor_runner.landing.readiness import Machine
from gpt_cursor_runner.landing.sandbox.choosing import Proof, prove_sandbox, sandbox_for
from gpt_cursor_runner.landing.sandbox.ended import Ended
from gpt_cursor_runner.landing.sandbox.model import Confined, Mount, Sandbox
from gpt_cursor_runner.landing.sandbox.running import run_command
from gpt_cursor_runner.landing.tree_files import give
from gpt_cursor_runner.landing.workspace import Workspace
from tests.building import SEARCH_PATH

PLAIN_PATH = "/usr/bin:/bin"
# A user that every machine has: tests may run as root, and without its service
# user.
LIMITS = SandboxLimits(user="nobody", file_mb=64)


@cache
def proof() -> Proof:
    """The sandbox of this machine. A missing sandbox fails the tests that need
    one: skipped, they would report that all is well.
    """
    with tempfile.TemporaryDirectory() as directory:
        proved = prove_sandbox(SEARCH_PATH, LIMITS, Path(directory))
    assert proved.code == "works", proved.why
    return proved


def a_machine(
    search_path: str = SEARCH_PATH, state: Path = Path("/"), proof: Callable[[], Proof] = proof
) -> Machine:
    return Machine(search_path, state, proof)


def a_repository(demand: str, read_only: Sequence[Path] = ()) -> Repository:
    # Not validated: a path that does not exist is one of the cases.
    values: dict[str, Any] = {"name": "app", "path": Path("/"), "sandbox": demand}
    return Repository.model_construct(**values, sandbox_read_only=tuple(read_only))


def make_sandbox(
    demand: str = "required",
    search_path: str = PLAIN_PATH,
    read_only: Sequence[Path] = (),
    work_trees: Sequence[Path] = (),
    is_layered: bool = True,
) -> Sandbox:
    sandbox = sandbox_for(a_repository(demand, read_only), proof(), search_path, work_trees)
    return replace(sandbox, layered=sandbox.layered and is_layered)


def run_in(
    sandbox: Sandbox,
    workspace: Workspace,
    *command: str,
    mounts: Sequence[Mount] = (),
    **settings: Any,
) -> Ended:
    wanted = SandboxedCommand(command=command, **{"timeout_seconds": 30.0, **settings})
    return run_command(sandbox, Confined(wanted, tuple(mounts)), workspace, lambda: None)


def text_of(ended: Ended) -> str:
    return ended.output.decode(errors="replace")


def lay_out(workspace: Workspace, sandbox: Sandbox, files: Mapping[str, str]) -> None:
    """Put files into an entered workspace, as a tree that was prepared."""
    directory = workspace.tree
    if sandbox.layered:
        directory = workspace.directory / "lower"
        directory.mkdir(exist_ok=True)
        workspace.lay_over([directory])
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    give(sandbox.user, directory, *directory.rglob("*"))

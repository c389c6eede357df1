"""Runs one command of the owner's to its end: in the sandbox, with a deadline,
limits, and bounded output.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from gpt_cursor_runner.landing.redacting import redact
from gpt_cursor_runner.landing.sandbox import bubblewrap
from gpt_cursor_runner.landing.sandbox.cgroup import Cgroup
from gpt_cursor_runner.landing.sandbox.model import INSIDE, Confined, Sandbox
from gpt_cursor_runner.landing.sandbox.usage import (
    Limit,
    OverLimit,
    UsageWatch,
    kernel_counter,
    limit_of_exit,
)
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.system import processes

KEPT_BYTES = 1 << 20
_SIGKILL_EXIT = 128 + 9
_MAX_REASON_CHARS = 500
_VMSTAT = Path("/proc/vmstat")

EndStatus = Literal["passed", "failed", "timed_out", "over_limit", "not_started"]


@dataclass(frozen=True)
class Ended:
    """How a command ended. `output` is what is kept of both its streams;
    `output_sha256` is over all of them.
    """

    status: EndStatus
    exit_code: int | None
    seconds: float
    output: bytes
    output_bytes: int
    output_sha256: str
    limit: Limit | None = None


def run_command(
    sandbox: Sandbox, confined: Confined, workspace: Workspace, tick: Callable[[], None]
) -> Ended:
    """Run a command; no process that it started is alive afterwards.

    Without a sandbox one process can escape: one that left the group with
    setsid. In bubblewrap none can. `tick` is called several times a second; its
    exceptions end the command and are passed on. Raises WorldFailed when the
    sandbox does not start, is killed, or the machine runs out of memory.
    """
    kills_before = _out_of_memory_kills()
    ended = _run_once(sandbox, confined, workspace, tick)
    if ended.status != "failed":
        return ended
    if ended.exit_code != _SIGKILL_EXIT and _out_of_memory_kills() == kills_before:
        return ended
    # It was killed, or a process on this machine was, which may have been one
    # of its own. That is no verdict, so it runs again.
    kills_before = _out_of_memory_kills()
    ended = _run_once(sandbox, confined, workspace, tick)
    if ended.status == "failed" and _out_of_memory_kills() != kills_before:
        raise WorldFailed(
            "out_of_memory",
            f"the machine ran out of memory while it ran {confined.settings.command[0]}",
            "Free memory, or lower sandbox.memory_mb in runner.toml; then `gcr retry` the patch.",
        )
    return ended


def _run_once(
    sandbox: Sandbox, confined: Confined, workspace: Workspace, tick: Callable[[], None]
) -> Ended:
    cgroup = sandbox.cgroups.create(sandbox.limits)
    try:
        return _run_in(cgroup, sandbox, confined, workspace, tick)
    finally:
        cgroup.remove()


def _run_in(
    cgroup: Cgroup,
    sandbox: Sandbox,
    confined: Confined,
    workspace: Workspace,
    tick: Callable[[], None],
) -> Ended:
    output = _Output(confined.settings.environment)
    began = time.monotonic()
    try:
        running = _start(sandbox, confined, workspace, cgroup)
    except OSError as error:
        output.add(f"{confined.settings.command[0]}: {error.strerror}\n".encode())
        return output.ended("not_started", None, 0.0)
    followed = _follow(running, cgroup, sandbox, confined, workspace, output, tick)
    seconds = time.monotonic() - began
    if followed.exit_code is None and followed.status is None:
        if not _was_not_executed(output.kept()):
            raise _sandbox_failed(output.kept())
        return output.ended("not_started", None, seconds)
    status = followed.status or _status(followed.exit_code)
    return output.ended(status, followed.exit_code, seconds, followed.limit)


@dataclass(frozen=True)
class _Followed:
    """The end of a started command. `status` is None when its exit code
    decides.
    """

    exit_code: int | None
    status: EndStatus | None = None
    limit: Limit | None = None


def _follow(
    running: _Running,
    cgroup: Cgroup,
    sandbox: Sandbox,
    confined: Confined,
    workspace: Workspace,
    output: _Output,
    tick: Callable[[], None],
) -> _Followed:
    """Follow a command to its end, its deadline or one of its limits."""
    watch = UsageWatch(sandbox.limits, running.child.pid, workspace.written("."))

    def tick_and_watch() -> None:
        tick()
        if sandbox.tier != "none":
            watch.check()
        limit = cgroup.exceeded()
        if limit is not None:
            raise OverLimit(limit)

    try:
        _note_group(workspace, running.child)
        timeout = confined.settings.timeout_seconds
        in_time = processes.follow(running.child, output.add, timeout, tick_and_watch)
    except OverLimit as over:
        return _Followed(running.exit_code(), "over_limit", over.limit)
    except BaseException:
        running.exit_code()
        raise
    exit_code = running.exit_code()
    limit = cgroup.exceeded()
    if not in_time and limit is None:
        return _Followed(exit_code, "timed_out")
    if limit is None:
        limit = limit_of_exit(exit_code)
    if limit is not None:
        return _Followed(exit_code, "over_limit", limit)
    return _Followed(exit_code)


def _note_group(workspace: Workspace, child: processes.Child) -> None:
    try:
        workspace.note_group(child.pid)
    except OSError:
        processes.kill_group(child)
        raise


def _status(exit_code: int | None) -> EndStatus:
    if exit_code == 0:
        return "passed"
    return "failed"


class _Running(Protocol):
    child: processes.Child

    def exit_code(self) -> int | None:
        """The exit code of the command, read once, after its end; None when
        the sandbox ended without one.
        """


@dataclass
class _Unconfined:
    child: processes.Child

    def exit_code(self) -> int | None:
        return self.child.returncode


def _start(sandbox: Sandbox, confined: Confined, workspace: Workspace, cgroup: Cgroup) -> _Running:
    command = confined.settings.command
    executable = _find(command[0], sandbox, confined, workspace)
    if sandbox.tier != "none":
        return bubblewrap.start(sandbox, (executable, *command[1:]), confined, workspace, cgroup)
    child = processes.start(
        [executable, *command[1:]],
        environment=_plain_environment(sandbox, confined, workspace),
        directory=workspace.tree / confined.settings.working_directory,
        stderr=processes.TO_STDOUT,
    )
    return _Unconfined(child)


def _find(program: str, sandbox: Sandbox, confined: Confined, workspace: Workspace) -> str:
    """The program as it is started. Raises FileNotFoundError when it is neither
    on the search path nor in the tree.
    """
    in_tree = posixpath.normpath(f"{confined.settings.working_directory}/{program}")
    if "/" not in program:
        location = shutil.which(program, path=sandbox.tools.search_path)
        if location is not None:
            return str(Path(location).absolute())
    elif program.startswith("/"):
        if Path(program).exists():
            return program
    elif workspace.holds(in_tree) or _is_mounted(in_tree, confined):
        return program
    raise FileNotFoundError(errno.ENOENT, "no such program", program)


def _is_mounted(path: str, confined: Confined) -> bool:
    """Whether one of the directories beside the tree has this path."""
    for mount in confined.mounts:
        inside = PurePosixPath(INSIDE, path)
        if inside.is_relative_to(mount.inside):
            return os.path.lexists(mount.source / inside.relative_to(mount.inside))
    return False


def _plain_environment(
    sandbox: Sandbox, confined: Confined, workspace: Workspace
) -> dict[str, str]:
    return {
        "PATH": sandbox.tools.search_path,
        "HOME": str(workspace.home),
        "TMPDIR": str(workspace.tmp),
        "LANG": "C.UTF-8",
        "CI": "true",
        **confined.settings.environment,
    }


def _was_not_executed(output: bytes) -> bool:
    """Whether bubblewrap was ready and the program could not be executed, such
    as a script without its interpreter. A command cannot pretend this: once it
    runs, it has an exit code.
    """
    lines = output.splitlines()
    return bool(lines) and lines[-1].startswith(b"bwrap: execvp ")


def _sandbox_failed(output: bytes) -> WorldFailed:
    reason = output[-_MAX_REASON_CHARS:].decode(errors="replace").strip()
    return WorldFailed(
        "sandbox_failed",
        f"the sandbox ended without a result of the command: {reason or 'it was killed'}",
        "Run `gcr doctor`, and check that every path of sandbox_read_only exists.",
    )


def _out_of_memory_kills() -> int:
    """How many processes of this machine the kernel has killed for want of
    memory.
    """
    return kernel_counter(_VMSTAT, "oom_kill")


class _Output:
    """Keeps the first and the last half of what is kept; the middle of a flood
    is counted and hashed. Secrets of the environment are taken out of what is
    kept, also those that came in two chunks.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._bounded = processes.BoundedOutput(KEPT_BYTES // 2, KEPT_BYTES // 2)
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self._bounded.add(chunk)
        self._hash.update(chunk)

    def kept(self) -> bytes:
        return redact(self._bounded.kept(), self._environment)

    def ended(
        self, status: EndStatus, exit_code: int | None, seconds: float, limit: Limit | None = None
    ) -> Ended:
        return Ended(
            status=status,
            exit_code=exit_code,
            seconds=round(seconds, 3),
            output=self.kept(),
            output_bytes=self._bounded.size,
            output_sha256=self._hash.hexdigest(),
            limit=limit,
        )

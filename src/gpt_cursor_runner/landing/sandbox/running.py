"""Runs one command of the owner's to its end: in the sandbox, with a deadline,
limits, and bounded output.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from gpt_cursor_runner.landing.sandbox import bubblewrap
from gpt_cursor_runner.landing.sandbox.cgroup import Cgroup
from gpt_cursor_runner.landing.sandbox.ended import Ended, EndStatus, Output
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

_SIGKILL_EXIT = 128 + 9
_MAX_REASON_CHARS = 500
_VMSTAT = Path("/proc/vmstat")


def run_command(
    sandbox: Sandbox, confined: Confined, workspace: Workspace, tick: Callable[[], None]
) -> Ended:
    """Run a command; no process that it started is alive afterwards.

    Without a sandbox one process can escape: one that left the group with
    setsid. In bubblewrap none can. `tick` is called several times a second; its
    exceptions end the command and are passed on. Raises WorldFailed when the
    sandbox does not start, is killed, or the machine runs out of memory.
    """
    run = _Run(sandbox, confined, workspace, tick)
    kills_before = _out_of_memory_kills()
    ended = run.to_end()
    if ended.status != "failed":
        return ended
    if ended.exit_code != _SIGKILL_EXIT and _out_of_memory_kills() == kills_before:
        return ended
    # It was killed, or a process on this machine was, which may have been one
    # of its own. That is no verdict, so it runs again.
    kills_before = _out_of_memory_kills()
    ended = run.to_end()
    if ended.status == "failed" and _out_of_memory_kills() != kills_before:
        raise WorldFailed(
            "out_of_memory",
            f"the machine ran out of memory while it ran {confined.settings.command[0]}",
            "Free memory, or lower sandbox.memory_mb in runner.toml; then `gcr retry` the patch.",
        )
    return ended


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


@dataclass(frozen=True)
class _Followed:
    """The end of a started command. `status` is None when its exit code
    decides.
    """

    exit_code: int | None
    status: EndStatus | None = None
    limit: Limit | None = None


@dataclass(frozen=True)
class _Run:
    """A command and the surroundings in which it runs, once or again."""

    sandbox: Sandbox
    confined: Confined
    workspace: Workspace
    tick: Callable[[], None]

    def to_end(self) -> Ended:
        cgroup = self.sandbox.cgroups.create(self.sandbox.limits)
        try:
            return self._run(cgroup)
        finally:
            cgroup.remove()

    def _run(self, cgroup: Cgroup) -> Ended:
        output = Output(self.confined.settings.environment)
        began = time.monotonic()
        try:
            running = self._start(cgroup)
        except OSError as error:
            program = self.confined.settings.command[0]
            output.add(f"{program}: {error.strerror}\n".encode())
            return output.ended("not_started", None, 0.0)
        followed = self._follow(running, cgroup, output)
        seconds = time.monotonic() - began
        if followed.exit_code is None and followed.status is None:
            if not _was_not_executed(output.kept()):
                raise _sandbox_failed(output.kept())
            return output.ended("not_started", None, seconds)
        status = followed.status or _status(followed.exit_code)
        return output.ended(status, followed.exit_code, seconds, followed.limit)

    def _start(self, cgroup: Cgroup) -> _Running:
        sandbox, confined, workspace = self.sandbox, self.confined, self.workspace
        settings = confined.settings
        command = (self._find(settings.command[0]), *settings.command[1:])
        if sandbox.tier != "none":
            return bubblewrap.start(sandbox, command, confined, workspace, cgroup)
        child = processes.start(
            command,
            environment=self._plain_environment(),
            directory=workspace.tree / settings.working_directory,
            stderr=processes.TO_STDOUT,
        )
        return _Unconfined(child)

    def _find(self, program: str) -> str:
        """The program as it is started. Raises FileNotFoundError when it is
        neither on the search path nor in the tree.
        """
        if "/" not in program:
            location = shutil.which(program, path=self.sandbox.tools.search_path)
            if location is not None:
                return str(Path(location).absolute())
        elif self._exists(program):
            return program
        raise FileNotFoundError(errno.ENOENT, "no such program", program)

    def _exists(self, program: str) -> bool:
        if program.startswith("/"):
            return Path(program).exists()
        directory = self.confined.settings.working_directory
        in_tree = posixpath.normpath(f"{directory}/{program}")
        return self.workspace.holds(in_tree) or _is_mounted(in_tree, self.confined)

    def _plain_environment(self) -> dict[str, str]:
        return {
            "PATH": self.sandbox.tools.search_path,
            "HOME": str(self.workspace.home),
            "TMPDIR": str(self.workspace.tmp),
            "LANG": "C.UTF-8",
            "CI": "true",
            **self.confined.settings.environment,
        }

    def _follow(self, running: _Running, cgroup: Cgroup, output: Output) -> _Followed:
        """Follow a command to its end, its deadline or one of its limits."""
        watch = UsageWatch(self.sandbox.limits, running.child.pid, self.workspace.written("."))

        def tick_and_watch() -> None:
            self.tick()
            if self.sandbox.tier != "none":
                watch.check()
            limit = cgroup.exceeded()
            if limit is not None:
                raise OverLimit(limit)

        try:
            self._note_group(running.child)
            timeout = self.confined.settings.timeout_seconds
            in_time = processes.follow(running.child, output.add, timeout, tick_and_watch)
        except OverLimit as over:
            return _Followed(running.exit_code(), "over_limit", over.limit)
        except BaseException:
            running.exit_code()
            raise
        return _judged(running.exit_code(), in_time, cgroup.exceeded())

    def _note_group(self, child: processes.Child) -> None:
        try:
            self.workspace.note_group(child.pid)
        except OSError:
            processes.kill_group(child)
            raise


def _judged(exit_code: int | None, in_time: bool, limit: Limit | None) -> _Followed:
    if limit is None and not in_time:
        return _Followed(exit_code, "timed_out")
    limit = limit or limit_of_exit(exit_code)
    if limit is not None:
        return _Followed(exit_code, "over_limit", limit)
    return _Followed(exit_code)


def _status(exit_code: int | None) -> EndStatus:
    if exit_code == 0:
        return "passed"
    return "failed"


def _is_mounted(path: str, confined: Confined) -> bool:
    """Whether one of the directories beside the tree has this path."""
    for mount in confined.mounts:
        inside = PurePosixPath(INSIDE, path)
        if inside.is_relative_to(mount.inside):
            return os.path.lexists(mount.source / inside.relative_to(mount.inside))
    return False


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

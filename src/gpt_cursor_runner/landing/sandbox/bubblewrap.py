"""Starts a command in bubblewrap: an allow-list of this machine, the workspace,
and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gpt_cursor_runner.config import SandboxLimits
from gpt_cursor_runner.landing.sandbox import etc, launcher
from gpt_cursor_runner.landing.sandbox.cgroup import Cgroup
from gpt_cursor_runner.landing.sandbox.model import (
    INSIDE,
    INSIDE_HOME,
    Confined,
    Mount,
    Sandbox,
)
from gpt_cursor_runner.landing.sandbox.seccomp import filter_program
from gpt_cursor_runner.landing.sandbox.tools import (
    SYSTEM_DIRECTORIES,
    is_in_system,
    toolchain,
)
from gpt_cursor_runner.landing.workspace import Workspace
from gpt_cursor_runner.system import processes

_TMP = "/tmp"  # noqa: S108  a tmpfs of the sandbox's own
_TEMPORARY = (_TMP, "/var/tmp", "/run", "/dev/shm", INSIDE_HOME)  # noqa: S108
# Only a runner that root started mounts here, each command in a mount namespace
# of its own.
_STAGE = "/run/gpt-cursor-runner"
_MEGABYTE = 1 << 20
_MAX_STATUS_BYTES = 65_536


@dataclass
class SandboxedProcess:
    """A command in bubblewrap, and the channel on which bubblewrap itself
    reports its end.
    """

    child: processes.Child
    _status: int

    def exit_code(self) -> int | None:
        """The exit code of the command, after its end; None when there is none:
        bubblewrap was killed, or did not get as far as the command.
        """
        # It ends when the last process of the sandbox has ended.
        with os.fdopen(self._status, "rb") as pipe:
            lines = pipe.read(_MAX_STATUS_BYTES).splitlines()
        for line in lines:
            code = json.loads(line).get("exit-code")
            if code is not None:
                return int(code)
        return None


def start(
    sandbox: Sandbox,
    command: Sequence[str],
    confined: Confined,
    workspace: Workspace,
    cgroup: Cgroup,
) -> SandboxedProcess:
    """Start a command; raise OSError when a process cannot be started."""
    # Files that only this process has open, so that no path of the machine is
    # shown for them.
    filter_reader = _pipe_with(filter_program(confined.settings.network))
    status_reader, status_writer = os.pipe()
    try:
        order = _Order(sandbox, workspace, cgroup)
        arguments = [sandbox.program]
        arguments += _arguments(order, command, confined)
        arguments += ["--seccomp", str(filter_reader), "--json-status-fd", str(status_writer)]
        arguments += ["--", *command]
        child = processes.start(
            [*_LAUNCHER, json.dumps(order.to_json()), *arguments],
            environment=environment(sandbox, confined),
            directory=workspace.directory,
            stderr=processes.TO_STDOUT,
            pass_fds=(filter_reader, status_writer),
        )
    except OSError:
        os.close(status_reader)
        raise
    finally:
        os.close(filter_reader)
        os.close(status_writer)
    return SandboxedProcess(child, status_reader)


def environment(sandbox: Sandbox, confined: Confined) -> dict[str, str]:
    """The complete environment of a command in bubblewrap."""
    return {
        "PATH": sandbox.tools.search_path,
        "HOME": INSIDE_HOME,
        "USER": etc.HOST_NAME,
        "LOGNAME": etc.HOST_NAME,
        "SHELL": "/bin/sh",
        "TMPDIR": _TMP,
        "LANG": "C.UTF-8",
        "CI": "true",
        **confined.settings.environment,
    }


_LAUNCHER = (sys.executable, "-I", "-S", launcher.__file__)


@dataclass
class _Order:
    """The steps of the launcher before it becomes bubblewrap."""

    sandbox: Sandbox
    workspace: Workspace
    cgroup: Cgroup
    staged: list[str] = field(default_factory=list)

    def reachable(self, source: Path) -> str:
        """The path at which the user of the command reaches a source."""
        if self.sandbox.user is None or is_in_system(source):
            return str(source)
        self.staged.append(str(source))
        return f"{_STAGE}/{len(self.staged) - 1}"

    def tree(self) -> str:
        """The path of the workspace's files."""
        if not self.workspace.lower:
            return self.reachable(self.workspace.tree)
        if self.sandbox.user is not None:
            return f"{_STAGE}/workspace"
        return str(self.workspace.tree)

    def to_json(self) -> dict[str, Any]:
        user = None
        if self.sandbox.user is not None:
            user = (self.sandbox.user.uid, self.sandbox.user.gid)
        return {
            "user": user,
            "stage": _STAGE,
            "staged": self.staged,
            "namespace": self.sandbox.layered,
            "overlay": self._overlay(),
            "cgroups": self.cgroup.joined_through(),
            "limits": _limits(self.sandbox.limits, self._counts_by_user()),
        }

    def _counts_by_user(self) -> bool:
        """Whether the limit of processes is that of the user: it would be reached
        before that of a cgroup, which counts how often it was.
        """
        if self.cgroup.pids is not None:
            return False
        # Elsewhere it would count every process of the owner's.
        return self.sandbox.layered

    def _overlay(self) -> dict[str, Any] | None:
        if not self.workspace.lower:
            return None
        return {
            "lower": [str(path) for path in self.workspace.lower],
            "upper": str(self.workspace.upper),
            "work": str(self.workspace.work),
            "at": self.tree(),
        }


def _limits(limits: SandboxLimits, counts_by_user: bool) -> dict[str, int]:
    numbers = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": limits.file_mb * _MEGABYTE}
    if counts_by_user:
        numbers["RLIMIT_NPROC"] = limits.processes
    return numbers


def _arguments(order: _Order, command: Sequence[str], confined: Confined) -> Iterable[str]:
    yield from _namespaces(confined)
    yield from _system()
    # A process may write to /proc/sys without any capability where it is root
    # outside.
    yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
    size = str(order.sandbox.limits.tmp_mb * _MEGABYTE)
    for path in _TEMPORARY:
        yield from ("--perms", "1777", "--size", size, "--tmpfs", path)
    for shown in _shown_paths(order.sandbox, command):
        yield from ("--ro-bind", order.reachable(shown), str(shown))
    for file in etc.write_files(order.workspace.directory / "etc", confined.settings.network):
        yield from ("--ro-bind", order.reachable(file), f"/etc/{file.name}")
    yield from ("--bind", order.tree(), INSIDE)
    for mount in confined.mounts:
        yield from _bind(order, mount)
    yield from ("--chdir", str(PurePosixPath(INSIDE, confined.settings.working_directory)))
    # Last: the mounts above make directories in the root.
    yield from ("--remount-ro", "/")


def _namespaces(confined: Confined) -> Iterable[str]:
    yield from ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts")
    yield "--unshare-cgroup-try"
    if confined.settings.network != "host":
        yield "--unshare-net"
    yield from ("--hostname", etc.HOST_NAME, "--uid", str(etc.UID), "--gid", str(etc.UID))
    # A new session: otherwise TIOCSTI could type into the owner's terminal.
    yield from ("--die-with-parent", "--new-session", "--cap-drop", "ALL")


def _system() -> Iterable[str]:
    for name in SYSTEM_DIRECTORIES:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            yield from ("--ro-bind", name, name)
    for name in etc.SHOWN:
        yield from ("--ro-bind-try", name, name)


def _shown_paths(sandbox: Sandbox, command: Sequence[str]) -> list[Path]:
    paths = [*sandbox.tools.read_only]
    if command[0].startswith("/"):
        paths += toolchain(Path(command[0]))
    return list(dict.fromkeys([*paths, *sandbox.read_only]))


def _bind(order: _Order, mount: Mount) -> Iterable[str]:
    option = "--bind" if mount.writable else "--ro-bind"
    yield from (option, order.reachable(mount.source), mount.inside)


def _pipe_with(data: bytes) -> int:
    """The reading end of a pipe that holds `data`, which must fit its buffer."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader

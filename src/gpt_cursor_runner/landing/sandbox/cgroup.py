"""Bounds the memory and the processes of a command in a cgroup of its own, where
this process may make one.

A cgroup that another program manages is not divided. With version 2 systemd has
to delegate it (`Delegate=` and `DelegateSubgroup=`); with version 1 root makes
cgroups in the hierarchies at whose root this process is.
"""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from gpt_cursor_runner.config import SandboxLimits
from gpt_cursor_runner.landing.sandbox.usage import Limit, kernel_counter
from gpt_cursor_runner.patch.faults import WorldFailed

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_CONTROLLERS = ("memory", "pids")
_PREFIX = "gcr-"
_MEGABYTE = 1 << 20
_REMOVE_TRIES = 200
_REMOVE_PAUSE_SECONDS = 0.01
# The kernel stores the delegation of systemd as an attribute of the directory:
# that for unprivileged readers since systemd 251.
_DELEGATE_ATTRIBUTES = ("user.delegate", "trusted.delegate")
_numbers = itertools.count()


@dataclass(frozen=True)
class CgroupParents:
    """The directories in which cgroups of commands are made. With version 2 they
    are the same directory.
    """

    version: int
    memory: Path | None
    pids: Path | None

    @property
    def bounded(self) -> tuple[Limit, ...]:
        """The limits that the kernel enforces through them."""
        limits: list[Limit] = []
        if self.memory is not None:
            limits.append("memory")
        if self.pids is not None:
            limits.append("processes")
        return tuple(limits)

    def create(self, limits: SandboxLimits) -> Cgroup:
        """Make the cgroup of one command. Raises WorldFailed when the machine
        refuses it.
        """
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        cgroup = Cgroup(_below(self.memory, name), _below(self.pids, name))
        try:
            cgroup.make(self.version, limits)
        except OSError as error:
            cgroup.remove()
            raise WorldFailed(
                "sandbox_failed",
                f"no cgroup for the command could be made: {error}",
                "Run `gcr doctor`.",
            ) from error
        return cgroup

    def remove_abandoned(self) -> None:
        """Remove the cgroups of runners that have ended. Those of a process that
        runs may be empty because their command is about to join.
        """
        for parent in _distinct((self.memory, self.pids)):
            for directory in parent.glob(f"{_PREFIX}*-*"):
                pid = directory.name.removeprefix(_PREFIX).partition("-")[0]
                if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                    with suppress(OSError):
                        directory.rmdir()


# Where no cgroup can be made: those of commands then bound nothing.
NO_CGROUPS = CgroupParents(0, None, None)


@dataclass(frozen=True)
class Cgroup:
    """The cgroup of one command."""

    memory: Path | None
    pids: Path | None

    def make(self, version: int, limits: SandboxLimits) -> None:
        for directory in _distinct((self.memory, self.pids)):
            directory.mkdir()
        size = str(limits.memory_mb * _MEGABYTE)
        if self.memory is not None and version == 1:
            (self.memory / "memory.limit_in_bytes").write_text(size)
            # Memory and swap together: equal limits leave no swap.
            _write_if_present(self.memory / "memory.memsw.limit_in_bytes", size)
        if self.memory is not None and version == 2:
            (self.memory / "memory.max").write_text(size)
            _write_if_present(self.memory / "memory.swap.max", "0")
        if self.pids is not None:
            (self.pids / "pids.max").write_text(str(limits.processes))

    def joined_through(self) -> list[str]:
        """The files into which a process writes 0 to join."""
        return [str(path / "cgroup.procs") for path in _distinct((self.memory, self.pids))]

    def exceeded(self) -> Limit | None:
        """The limit that the kernel enforced."""
        if self.memory is not None:
            kills = kernel_counter(self.memory / "memory.events", "oom_kill")
            kills += kernel_counter(self.memory / "memory.oom_control", "oom_kill")
            if kills:
                return "memory"
        if self.pids is not None and kernel_counter(self.pids / "pids.events", "max"):
            return "processes"
        return None

    def remove(self) -> None:
        """Remove it. One that still has a process after a moment stays, until
        `remove_abandoned`.
        """
        for directory in _distinct((self.memory, self.pids)):
            _remove(directory)


def find_cgroups(limits: SandboxLimits) -> CgroupParents:
    """Where this process may make cgroups; NO_CGROUPS where it may not. It makes
    one to try.
    """
    try:
        own = _OWN.read_text()
    except OSError:
        return NO_CGROUPS
    parents = parents_version_2(own, _ROOT)
    if parents is None and os.geteuid() == 0:
        parents = parents_version_1(own, _ROOT)
    if parents is None:
        return NO_CGROUPS
    parents.remove_abandoned()
    try:
        parents.create(limits).remove()
    except WorldFailed:
        return NO_CGROUPS
    return parents


def parents_version_2(own: str, root: Path) -> CgroupParents | None:
    """`own` is the text of /proc/self/cgroup, `root` the mounted hierarchy.

    A cgroup with processes cannot have children with controllers, and this
    process is not moved: so the cgroup above the own one must be delegated.
    """
    path = _own_paths(own).get("")
    if path is None or path == "/":
        return None
    parent = (root / path.lstrip("/")).parent
    try:
        if not _is_delegated(parent) or (parent / "cgroup.procs").read_text().strip():
            return None
        missing = set(_CONTROLLERS) - _words(parent / "cgroup.subtree_control")
        if missing - _words(parent / "cgroup.controllers"):
            return None
        if missing:
            enabled = " ".join(f"+{name}" for name in sorted(missing))
            (parent / "cgroup.subtree_control").write_text(enabled)
    except OSError:
        return None
    return CgroupParents(2, parent, parent)


def parents_version_1(own: str, root: Path) -> CgroupParents | None:
    """As `parents_version_2`, for hierarchies mounted in `root` by their name."""
    paths = _own_paths(own)
    usable: dict[str, Path] = {}
    for name in _CONTROLLERS:
        if paths.get(name) == "/" and (root / name / "cgroup.procs").exists():
            usable[name] = root / name
    if not usable:
        return None
    return CgroupParents(1, usable.get("memory"), usable.get("pids"))


def _own_paths(own: str) -> dict[str, str]:
    """The path in each hierarchy by its controllers; "" names version 2."""
    paths = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _is_delegated(directory: Path) -> bool:
    for name in _DELEGATE_ATTRIBUTES:
        with suppress(OSError):
            if os.getxattr(directory, name) == b"1":
                return True
    return False


def _below(parent: Path | None, name: str) -> Path | None:
    if parent is None:
        return None
    return parent / name


def _distinct(directories: Iterable[Path | None]) -> list[Path]:
    return list(dict.fromkeys(path for path in directories if path is not None))


def _remove(directory: Path) -> None:
    # Killed processes of the sandbox may end after bubblewrap.
    for _ in range(_REMOVE_TRIES):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(_REMOVE_PAUSE_SECONDS)
        else:
            return


def _words(path: Path) -> set[str]:
    return set(path.read_text().split())


def _write_if_present(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)

"""Limits of a container or a service: the kernel's control groups, versions 2
and 1.

A limit holds for all groups below it. So each group from our own up to the root
is read, and the tightest limit counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
# Version 1 writes "no limit" as the largest multiple of a page below 2**63.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class MemoryLimit:
    """In bytes. `used` excludes the page cache that the kernel drops first."""

    limit: int
    used: int


@dataclass(frozen=True)
class CpuLimit:
    """`used_seconds` of processor time; None where the kernel does not count
    them beside the limit.
    """

    cores: float
    used_seconds: float | None


class Cgroup:
    """Reads a few small files of the kernel at every call; raises OSError or
    ValueError for unexpected contents.
    """

    def __init__(self, root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> None:
        self._root = root
        self._membership = membership

    def memory(self) -> MemoryLimit | None:
        """The limit of which the largest share is used; None without a limit."""
        limits = [_memory_limit(group) for group in self._groups("memory")]
        return max(filter(None, limits), key=lambda limit: limit.used / limit.limit, default=None)

    def cpu(self) -> CpuLimit | None:
        """The limit of the fewest cores; None without a limit."""
        limits = [_cpu_limit(group) for group in self._groups("cpu")]
        return min(filter(None, limits), key=lambda limit: limit.cores, default=None)

    def _groups(self, controller: str) -> Iterator[Path]:
        """Our own group, then its parents up to the root."""
        mount, own_path = self._locate(controller)
        group = mount / own_path.strip("/")
        while group != mount:
            # In a container the path may be the host's, which is not mounted.
            if group.is_dir():
                yield group
            group = group.parent
        yield mount

    def _locate(self, controller: str) -> tuple[Path, str]:
        """The mount of a controller, and the path of our group below it."""
        for line in self._membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                return self._mount(controllers, controller), path
            # The line of version 2 names no controllers. A hybrid system has
            # that line too, but not this file.
            if not controllers and (self._root / "cgroup.controllers").exists():
                return self._root, path
        return self._root, "/"

    def _mount(self, controllers: str, controller: str) -> Path:
        for name in (controllers, controller):
            if (self._root / name).is_dir():
                return self._root / name
        return self._root


def _memory_limit(group: Path) -> MemoryLimit | None:
    limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
    if not limit or limit >= _NO_LIMIT:
        return None
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
    statistics = _table(group / "memory.stat")
    cache = statistics.get("inactive_file", statistics.get("total_inactive_file", 0))
    return MemoryLimit(limit, max(0, used - cache))


def _cpu_limit(group: Path) -> CpuLimit | None:
    words = _text(group / "cpu.max").split()
    if words and words[0] != "max":
        quota, period = int(words[0]), int(words[1])
        used_microseconds = _table(group / "cpu.stat").get("usage_usec", 0)
        return CpuLimit(quota / period, used_microseconds / 1e6)
    return _cpu_limit_version_1(group)


def _cpu_limit_version_1(group: Path) -> CpuLimit | None:
    quota = _number(group / "cpu.cfs_quota_us")
    period = _number(group / "cpu.cfs_period_us")
    # -1 is no limit.
    if not quota or not period or quota < 0:
        return None
    used_nanoseconds = _number(group / "cpuacct.usage")
    if used_nanoseconds is None:
        return CpuLimit(quota / period, None)
    return CpuLimit(quota / period, used_nanoseconds / 1e9)


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    if text in ("", "max"):
        return None
    return int(text)


def _table(file: Path) -> dict[str, int]:
    table = {}
    for line in _text(file).splitlines():
        words = line.split()
        if len(words) == 2:
            table[words[0]] = int(words[1])
    return table


def _text(file: Path) -> str:
    try:
        return file.read_text()
    # The other version has other files, and a root group has no limits.
    except (FileNotFoundError, NotADirectoryError):
        return ""

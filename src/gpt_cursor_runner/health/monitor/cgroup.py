"""What a container or a service may take of the machine: the kernel's control
groups, version 2 and 1.

A limit holds for everything below it, so that each group from our own up to the
root is asked, and the tightest counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
# Version 1 writes "no limit" as the largest multiple of a page.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class MemoryLimit:
    """In bytes; `used` leaves out files the kernel would drop at once."""

    limit: int
    used: int


@dataclass(frozen=True)
class CpuLimit:
    """How many cores may be used, and how many seconds of them have been, where
    the kernel counts them beside it.
    """

    cores: float
    used_seconds: float | None


class Cgroup:
    """Reads a few small files of the kernel's at every question; raises OSError
    or ValueError when they are strange.
    """

    def __init__(self, root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> None:
        self._root = root
        self._membership = membership

    def memory(self) -> MemoryLimit | None:
        """The tightest limit, by the share that is used of it; None when there
        is none.
        """
        found = [one for group in self._groups("memory") if (one := _memory(group))]
        return max(found, key=lambda one: one.used / one.limit, default=None)

    def cpu(self) -> CpuLimit | None:
        """The limit of the fewest cores; None when there is none."""
        found = [one for group in self._groups("cpu") if (one := _cpu(group))]
        return min(found, key=lambda one: one.cores, default=None)

    def _groups(self, controller: str) -> Iterator[Path]:
        """Our own group first, then those it lies in. InFlight a container the
        path may be the host's, and not there.
        """
        mount, own = self._placed(controller)
        place = mount / own.strip("/")
        while place != mount:
            if place.is_dir():
                yield place
            place = place.parent
        yield mount

    def _placed(self, controller: str) -> tuple[Path, str]:
        for line in self._membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                mounts = (self._root / controllers, self._root / controller, self._root)
                return next(
                    mount for mount in mounts if mount.is_dir() or mount == self._root
                ), path
            if not controllers and (self._root / "cgroup.controllers").exists():
                return self._root, path
        return self._root, "/"


def _memory(group: Path) -> MemoryLimit | None:
    limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
    if not limit or limit >= _NO_LIMIT:
        return None
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
    stat = _table(group / "memory.stat")
    return MemoryLimit(
        limit, max(0, used - stat.get("inactive_file", stat.get("total_inactive_file", 0)))
    )


def _cpu(group: Path) -> CpuLimit | None:
    words = _text(group / "cpu.max").split()
    if words and words[0] != "max":
        return CpuLimit(
            int(words[0]) / int(words[1]), _table(group / "cpu.stat").get("usage_usec", 0) / 1e6
        )
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    if quota and period and quota > 0:
        used = _number(group / "cpuacct.usage")
        return CpuLimit(quota / period, None if used is None else used / 1e9)
    return None


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return None if text in ("", "max") else int(text)


def _table(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (
        FileNotFoundError,
        NotADirectoryError,
    ):  # the other version, or a root group, which has no limits
        return ""

"""Checks that a patch's evidence can be written, on the disk of the start, and
that there is room for more.

The disk worker does the test; while it does not respond the check is late.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.probes.disk_worker_client import DiskWorkerClient, DiskWorkerDied
from gpt_cursor_runner.health.probes.threshold import Threshold

_MOUNT_WRITABLE = "Mount the disk for writing, or move the state directory."
_FREE_SPACE = "Free space or inodes, or move the state directory."
_CREATE = "Create the directory, or mount its disk."
_REMOVE_FILE = "Remove the file at the path of the directory."
_PERMIT = "Give the gateway's user write permission there."
_REMOUNT = "Mount the disk again; or restart the gateway, if the directory was replaced on purpose."
_FREE_INODES = "Remove small files, or move the state directory."

_USED_PERCENT = Threshold(on=90, off=87)
_FREE_INODES_PERCENT = Threshold(on=5, off=8)


class FilesystemProbe:
    """Writes, syncs and reads back a file without a name in `directory`."""

    spec = ProbeSpec(
        "filesystem",
        "fs_writable",
        Criticality.CRITICAL,
        interval_seconds=5.0,
        deadline_seconds=3.0,
    )
    codes = CodeTable(
        writable=Code(CheckStatus.OK, fact=True),
        read_only=Code(CheckStatus.FAIL, _MOUNT_WRITABLE, fact=True),
        no_space=Code(CheckStatus.FAIL, _FREE_SPACE, fact=True),
        missing=Code(CheckStatus.FAIL, _CREATE, fact=True),
        not_a_directory=Code(CheckStatus.FAIL, _REMOVE_FILE, fact=True),
        denied=Code(CheckStatus.FAIL, _PERMIT, fact=True),
        mismatch=Code(CheckStatus.FAIL, fact=True),
        other=Code(CheckStatus.FAIL, fact=True),
        unmounted=Code(CheckStatus.FAIL, _REMOUNT, fact=True),
        nearly_full=Code(CheckStatus.WARN, _FREE_SPACE, fact=True),
        few_inodes=Code(CheckStatus.WARN, _FREE_INODES, fact=True),
        # A killed worker proves nothing about the disk.
        helper_died=Code(CheckStatus.UNKNOWN),
    )

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._worker = DiskWorkerClient()
        self._first_place: list[int] | None = None
        self._is_nearly_full = False
        self._has_few_inodes = False

    def read(self) -> Reading:
        try:
            result = self._worker.request("check_directory", str(self._directory.absolute()))
        except DiskWorkerDied as error:
            return self.codes.reading("helper_died", str(error))
        space = result["space"] or {}
        data = {"directory": str(self._directory), **space}
        if result["code"] != "writable":
            return self.codes.reading(result["code"], result["message"], data)
        if self._first_place is None:
            self._first_place = result["place"]
        # A directory under a mount point is writable too, but not the evidence's.
        if result["place"] != self._first_place:
            message = _describe_replacement(result["place"], self._first_place)
            return self.codes.reading("unmounted", message, data)
        return self._judge_space(space, data)

    def close(self) -> None:
        self._worker.close()

    def _judge_space(self, space: Mapping[str, int], data: Mapping[str, Any]) -> Reading:
        available = space["used_bytes"] + space["free_bytes"]
        used = _percent(space["used_bytes"], available)
        free_inodes = _percent(space["free_inodes"], space["total_inodes"])
        self._is_nearly_full = _USED_PERCENT.passed(used, self._is_nearly_full)
        self._has_few_inodes = _FREE_INODES_PERCENT.passed(free_inodes, self._has_few_inodes)
        warnings = self._warnings(used, free_inodes)
        code = next(iter(warnings), "writable")
        return self.codes.reading(code, ", ".join(warnings.values()), data)

    def _warnings(self, used: float | None, free_inodes: float | None) -> dict[str, str]:
        warnings = {}
        if self._is_nearly_full:
            warnings["nearly_full"] = f"the disk is {used} % full"
        if self._has_few_inodes:
            warnings["few_inodes"] = f"{free_inodes} % of the inodes are free"
        return warnings


def _describe_replacement(place: list[int], first: list[int]) -> str:
    if place[0] != first[0]:
        return "the path now leads to another disk than at the start of the gateway"
    return "the path now leads to another directory than at the start of the gateway"


def _percent(part: int, total: int) -> float | None:
    # Some file systems count no inodes.
    if not total:
        return None
    return round(100 * part / total, 1)

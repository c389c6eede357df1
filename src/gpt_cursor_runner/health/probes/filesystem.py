"""Can a patch's evidence be written, on the disk that was there at the start,
and is there room for more?

The looking is done by another process (`filesystem_process.py`); its silence is
reported as late.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.disk_worker_client import FilesystemProcess, ProcessDied
from gpt_cursor_runner.health.probes.threshold import Threshold

_REMEDIES = {
    "read_only": "Mount the disk for writing, or move the state directory.",
    "no_space": "Make room (space or inodes), or move the state directory.",
    "missing": "Create the directory, or mount what should be there.",
    "not_a_directory": "Remove the file that stands where the directory should be.",
    "denied": "Give the gateway's user the right to write there.",
    "unmounted": (
        "Mount the disk again; or restart the gateway, if the directory was replaced on purpose."
    ),
    "nearly_full": "Make room, or move the state directory.",
    "few_inodes": "Remove small files, or move the state directory.",
}
_USED_PERCENT = Threshold(on=90, off=87)
_FREE_INODES_PERCENT = Threshold(on=5, off=8)


class FilesystemProbe:
    """Writes, syncs, reads back and drops a file in `directory`."""

    spec = ProbeSpec(
        "filesystem",
        "fs_writable",
        Criticality.CRITICAL,
        interval_seconds=5.0,
        deadline_seconds=3.0,
    )

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process = FilesystemProcess()
        self._first_place: list[int] | None = None
        self._passed = {"nearly_full": False, "few_inodes": False}

    def read(self) -> Reading:
        """One test, and what it says of the disk."""
        try:
            answer = self._process.ask("examine", str(self._directory.absolute()))
        except ProcessDied as died:
            return Reading(Status.UNKNOWN, "helper_died", str(died))
        data = {"directory": str(self._directory), **(answer["space"] or {})}
        if answer["code"] != "writable":
            return _reading(Status.FAIL, answer["code"], answer["message"], data)
        self._first_place = self._first_place or answer["place"]
        if answer["place"] != self._first_place:
            return _reading(
                Status.FAIL, "unmounted", _elsewhere(answer["place"], self._first_place), data
            )
        return self._room(answer["space"], data)

    def close(self) -> None:
        """End the process; a `read` under way sees it die."""
        self._process.close()

    def _room(self, space: Mapping[str, int], data: Mapping[str, Any]) -> Reading:
        used = _percent(space["used_bytes"], space["used_bytes"] + space["free_bytes"])
        inodes = _percent(
            space["free_inodes"], space["total_inodes"]
        )  # some file systems count none
        self._passed = {
            "nearly_full": _USED_PERCENT.passed(used, self._passed["nearly_full"]),
            "few_inodes": _FREE_INODES_PERCENT.passed(inodes, self._passed["few_inodes"]),
        }
        said = {
            "nearly_full": f"the disk is {used} % full",
            "few_inodes": f"{inodes} % of the inodes are free",
        }
        warnings = [code for code, passed in self._passed.items() if passed]
        if not warnings:
            return _reading(Status.OK, "writable", "", data)
        return _reading(Status.WARN, warnings[0], ", ".join(said[code] for code in warnings), data)


def _reading(status: Status, code: str, message: str, data: Mapping[str, Any]) -> Reading:
    return Reading(status, code, message, data, _REMEDIES.get(code, ""), fact=True)


def _elsewhere(place: list[int], first: list[int]) -> str:
    what = (
        "lies on another disk than" if place[0] != first[0] else "is not the directory that it was"
    )
    return f"what is written there now {what} at the start"


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None

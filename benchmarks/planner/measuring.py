"""Measures one case in its own process."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Set
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.planner.cases import PATH, Load
from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.tree import EntryKind, Merged
from gpt_cursor_runner.patch.faults import PatchRefused
from gpt_cursor_runner.patch.model import ONE_CHANGE, Change, Tolerance

_ROUNDS = 5
_LONG_ENOUGH_SECONDS = 20.0  # a case that is hopeless is not measured five times
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Figures:
    """`memory` is a multiple of the size of the input."""

    seconds: float
    memory: float
    outcome: str


class OneFile:
    """A tree with one file, and the blob from which a merge may start."""

    def __init__(self, load: Load) -> None:
        self._data = load.data
        self._blobs = {_blob_id(data): data for data in (load.data, load.base) if data is not None}

    def kind(self, path: str) -> EntryKind | None:
        if path == PATH:
            return "file"
        if PATH.startswith(path + "/"):
            return "directory"
        return None

    def read(self, path: str) -> bytes:
        return self._data

    def names(self, directory: str) -> Set[str]:
        start = directory + "/" if directory else ""
        if not PATH.startswith(start):
            return set()
        return {PATH[len(start) :].split("/")[0]}

    def blob(self, oid: str) -> bytes | None:
        for blob_oid, data in self._blobs.items():
            if blob_oid.startswith(oid):
                return data
        return None

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        with tempfile.TemporaryDirectory() as place:
            for name, data in {"ours": ours, "base": base, "theirs": theirs}.items():
                Path(place, name).write_bytes(data)
            command = ["git", "merge-file", "-p", "ours", "base", "theirs"]
            done = subprocess.run(command, cwd=place, capture_output=True, check=False)
        return Merged(done.stdout, done.returncode)


def main() -> None:
    """Measure the load pickled in the file named on the command line, and print
    the figures as JSON.
    """
    load = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  written by our own parent, a moment ago
    change = ONE_CHANGE.validate_python(load.change)
    size = len(load.data) + len(str(load.change["text" if "text" in load.change else "type"]))
    began_at = _forget_peak()
    outcome, seconds = _plan(load, change)
    grown = _peak() - began_at
    spans = [seconds]
    while len(spans) < _ROUNDS and sum(spans) < _LONG_ENOUGH_SECONDS:
        spans.append(_plan(load, change)[1])
    print(json.dumps(asdict(Figures(statistics.median(spans), max(0, grown) / size, outcome))))


def _plan(load: Load, change: Change) -> tuple[str, float]:
    tolerance: Tolerance = load.tolerance  # type: ignore[assignment]
    began = time.perf_counter()
    try:
        plan = make_plan([(0, change)], OneFile(load), tolerance)
    except PatchRefused as refused:
        seconds = time.perf_counter() - began
        codes = sorted({fault.code for fault in refused.faults})
        return f"{' '.join(codes)} ({len(refused.faults)} faults)", seconds
    seconds = time.perf_counter() - began
    return "planned " + ", ".join(sorted({hunk.rung for hunk in plan.hunks})), seconds


def _forget_peak() -> int:
    """Reset the kernel's peak; returns the bytes in use now, or the peak since
    the start without /proc.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    return (
        _status("VmHWM")
        if _STATUS.exists()
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )


def _status(name: str) -> int:
    match = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text())
    if match is None:
        return 0
    return int(match[1]) * 1024


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()

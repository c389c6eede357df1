"""The evidence of a patch: one folder with the request as received, the sealed
diff, the check logs, the report.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MAX_DIFF_BYTES = 16 * 1024 * 1024
_CUT = b"\n# cut here: the rest of this diff was not kept\n"


@dataclass(frozen=True)
class Evidence:
    """The folder of one patch; what is not there yet reads as None."""

    folder: Path

    def check_log(self, number: int, name: str) -> Path:
        """Where the output of the check with this number (from 1) goes."""
        return self.folder / "checks" / f"{number:02d}-{name}.log"

    def forget_check_logs(self) -> None:
        """Checks are about to run anew: what an earlier round printed would
        pass for their output.
        """
        shutil.rmtree(self.folder / "checks", ignore_errors=True)

    def keep_diff(self, diff: bytes) -> None:
        whole = len(diff) <= _MAX_DIFF_BYTES
        self._keep({"sealed.diff": diff if whole else diff[:_MAX_DIFF_BYTES] + _CUT})

    def keep_report(self, markdown: bytes, as_json: bytes, request: bytes | None) -> None:
        received = {} if request is None else {"request": request}
        self._keep({**received, "report.json": as_json, "report.md": markdown})

    def diff(self) -> bytes | None:
        return self._read("sealed.diff")

    def report(self) -> bytes | None:
        """The completion report in Markdown."""
        return self._read("report.md")

    def report_json(self) -> bytes | None:
        return self._read("report.json")

    def check_logs(self) -> dict[str, str]:
        """What each check printed, by `<number>-<name>`, in the order they ran."""
        logs = sorted((self.folder / "checks").glob("*.log"))
        return {log.stem: log.read_text(errors="replace") for log in logs}

    def _keep(self, files: Mapping[str, bytes]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            # Through a neighbour, so that a reader finds the old text or the
            # new one and never a part; synced first, since the ledger will say
            # that it was written and a rename may reach the disk before the
            # bytes do.
            beside = self.folder / f"{name}.part"
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.folder / name)
        _sync_directory(self.folder)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None


def _sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

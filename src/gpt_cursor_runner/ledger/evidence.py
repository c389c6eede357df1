"""The evidence of a patch: one folder with the request as received, the sealed
diff, the check logs and the report.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MAX_DIFF_BYTES = 16 * 1024 * 1024
_CUT_MARK = b"\n# cut here: the rest of this diff was not kept\n"


@dataclass(frozen=True)
class Evidence:
    """The folder of one patch. A file that was not written yet reads as None."""

    folder: Path

    def check_log(self, number: int, name: str) -> Path:
        """The file for the output of the check with this number, from 1."""
        return self.folder / "checks" / f"{number:02d}-{name}.log"

    def compared_log(self, name: str) -> Path:
        """The file for the output of a check that failed, without the patch."""
        return self.folder / "checks" / f"without-patch-{name}.log"

    def forget_check_logs(self) -> None:
        """Delete the logs of an earlier attempt, before its checks run again."""
        shutil.rmtree(self.folder / "checks", ignore_errors=True)

    def keep_diff(self, diff: bytes) -> None:
        if len(diff) > _MAX_DIFF_BYTES:
            diff = diff[:_MAX_DIFF_BYTES] + _CUT_MARK
        self._keep({"sealed.diff": diff})

    def keep_report(self, markdown: bytes, as_json: bytes, request: bytes | None) -> None:
        """Write the report in both forms. It is on the disk when this returns,
        so that the ledger may record it.
        """
        files = {"report.json": as_json, "report.md": markdown}
        if request is not None:
            files = {"request": request, **files}
        self._keep(files)

    def diff(self) -> bytes | None:
        return self._read("sealed.diff")

    def report(self) -> bytes | None:
        """The completion report in Markdown."""
        return self._read("report.md")

    def report_json(self) -> bytes | None:
        return self._read("report.json")

    def check_logs(self) -> dict[str, str]:
        """The output of each check by `<number>-<name>`, in the order of their
        numbers.
        """
        logs = sorted((self.folder / "checks").glob("*.log"))
        return {log.stem: log.read_text(errors="replace") for log in logs}

    def _keep(self, files: Mapping[str, bytes]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            # A rename replaces the file in one step, so that a reader gets the
            # old text or the new one and never a part.
            part = self.folder / f"{name}.part"
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                # Before the rename, which may otherwise reach the disk before
                # the bytes: a power failure would leave an empty file.
                os.fsync(file.fileno())
            part.replace(self.folder / name)
        # The renames are entries of this folder, and the folder is an entry of
        # its parent. Without both syncs a power failure may undo them.
        _sync_directory(self.folder)
        _sync_directory(self.folder.parent)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Can a patch's evidence be written? Asks the helper process, and waits for it as long as it takes.

While the helper hangs in a dead disk the wait is reported as late and no second helper is started.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from gpt_cursor_runner.health.model import Criticality, Reading, Status, Terms

_REMEDIES = {
    "read_only": "Mount the disk for writing, or move the state directory.",
    "no_space": "Make room (space or inodes), or move the state directory.",
    "missing": "Create the directory, or mount what should be there.",
    "not_a_directory": "Remove the file that stands where the directory should be.",
    "denied": "Give the gateway's user the right to write there.",
}
_ANSWER_BYTES = 64 * 1024
_GOODBYE_SECONDS = 0.5


class FilesystemProbe:
    """Writes, syncs, reads back and drops a file in `directory`, through a helper process it keeps."""

    terms = Terms("filesystem", "fs_writable", Criticality.CRITICAL, interval_seconds=5.0, deadline_seconds=3.0)

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._helper: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._closed = False

    def read(self) -> Reading:
        """One test; a helper that died is replaced at the next."""
        with self._asking:
            try:
                answer = self._ask()
            except (BrokenPipeError, EOFError):
                self._bury()
                return Reading(Status.UNKNOWN, "helper_died", "the helper process died; the next run starts another")
        return _reading(answer, str(self._directory))

    def close(self) -> None:
        """End the helper; a `read` under way sees it die."""
        self._closed = True
        if helper := self._helper:
            helper.kill()
        if self._asking.acquire(timeout=_GOODBYE_SECONDS):  # not when the kernel holds the helper
            self._bury()
            self._asking.release()

    def _ask(self) -> dict[str, Any]:
        helper = self._helper = self._helper or self._start()
        assert helper.stdin and helper.stdout  # noqa: S101  both are pipes
        helper.stdin.write(b"probe\n")
        helper.stdin.flush()
        line = helper.stdout.readline(_ANSWER_BYTES)
        if not line.endswith(b"\n"):
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise EOFError
        # Away from the terminal's Ctrl-C, from our working directory and from our sockets: it ends with its input.
        return subprocess.Popen(
            [sys.executable, "-m", "gpt_cursor_runner.health.filesystem", str(self._directory.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            close_fds=True,
            start_new_session=True,
        )

    def _bury(self) -> None:
        helper, self._helper = self._helper, None
        if helper:
            helper.communicate()  # its output has ended, so this only closes the pipes and reaps it


def _reading(answer: dict[str, Any], directory: str) -> Reading:
    code, space = answer["code"], answer["space"]
    data = {"directory": directory, **(space or {})}
    if code == "writable":
        return Reading(Status.OK, code, data=data, fact=True)
    return Reading(Status.FAIL, code, answer["message"], data, _REMEDIES.get(code, ""), fact=True)

"""The gateway's end of a process that looks at disks (`filesystem.py`): one at
a time, never a second beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

_ANSWER_BYTES = 64 * 1024
_GOODBYE_SECONDS = 0.5


class ProcessDied(Exception):
    """The process ended without an answer; the next question starts another."""

    def __init__(self) -> None:
        super().__init__("the process that looks at the disk died; the next look starts another")


class FilesystemProcess:
    """Started at the first question and kept. While it hangs in a dead disk,
    whoever asks waits with it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._closed = False

    def ask(self, look: str, at: object) -> dict[str, Any]:
        """What the look found, however long that takes; raise ProcessDied when
        there will be no answer.
        """
        with self._asking:
            try:
                return self._exchange(json.dumps({"look": look, "at": at}))
            except (BrokenPipeError, EOFError) as died:
                self._bury()
                raise ProcessDied from died

    def close(self) -> None:
        """End it; an `ask` under way sees it die."""
        self._closed = True
        if process := self._process:
            process.kill()
        if self._asking.acquire(timeout=_GOODBYE_SECONDS):  # not when the kernel holds the process
            self._bury()
            self._asking.release()

    def _exchange(self, question: str) -> dict[str, Any]:
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout  # noqa: S101  both are pipes
        process.stdin.write(question.encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline(_ANSWER_BYTES)
        if not line.endswith(b"\n"):
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise EOFError
        # Away from the terminal's Ctrl-C, from our working directory and from
        # our sockets: it ends with its input.
        return subprocess.Popen(
            [sys.executable, "-m", "gpt_cursor_runner.health.probes.disk_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            close_fds=True,
            start_new_session=True,
        )

    def _bury(self) -> None:
        process, self._process = self._process, None
        if process:
            # its output has ended, so this only closes the pipes and reaps it
            process.communicate()

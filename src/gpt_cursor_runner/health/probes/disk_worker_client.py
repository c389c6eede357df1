"""The gateway's side of the disk worker (`disk_worker.py`)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

from gpt_cursor_runner.system import processes

_MAX_RESPONSE_BYTES = 64 * 1024
_CLOSE_SECONDS = 0.5


class DiskWorkerDied(Exception):
    """The worker exited without a response; the next request starts another."""

    def __init__(self) -> None:
        super().__init__("the disk worker died; the next run starts another")


class DiskWorkerClient:
    """Starts one worker at the first request and keeps it. While the worker
    hangs in a dead disk, every request waits.
    """

    def __init__(self) -> None:
        self._process: processes.Child | None = None
        self._lock = threading.Lock()
        self._closed = False

    def request(self, command: str, argument: object) -> dict[str, Any]:
        """The worker's response, after any time; raises DiskWorkerDied when
        there is none.
        """
        with self._lock:
            try:
                return self._exchange(json.dumps({"command": command, "argument": argument}))
            except (BrokenPipeError, EOFError) as error:
                self._reap()
                raise DiskWorkerDied from error

    def close(self) -> None:
        """Kill the worker; a request under way raises DiskWorkerDied."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        # A worker that hangs in the kernel dies only when its disk answers.
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            self._reap()
            self._lock.release()

    def _exchange(self, line: str) -> dict[str, Any]:
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin and process.stdout  # noqa: S101  both are pipes
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline(_MAX_RESPONSE_BYTES)
        if not answer.endswith(b"\n"):
            raise EOFError
        response: dict[str, Any] = json.loads(answer)
        return response

    def _start(self) -> processes.Child:
        if self._closed:
            raise EOFError
        # A session, directory and descriptors of its own: no Ctrl-C of the
        # terminal reaches it, and while it hangs it holds neither a mount of
        # ours nor the port.
        return processes.start(
            [sys.executable, "-m", "gpt_cursor_runner.health.probes.disk_worker"],
            directory="/",
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            # Its output has ended, so that this only closes the pipes and waits
            # for the exit.
            process.communicate()

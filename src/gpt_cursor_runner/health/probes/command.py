"""A check of the owner's own: a command whose exit code says how something else on the machine does.

Exit codes and the first line of output are read as the Monitoring Plugins have them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from gpt_cursor_runner.health.model import Criticality, Reading, Status, Terms

OUTPUT_BYTES = 64 * 1024
_GLANCE_SECONDS = 0.05  # a command may close its output before it ends, or leave it open behind it: neither is its end
_DEADLINE_MARGIN_SECONDS = 1.0

_BY_EXIT_CODE = {0: (Status.OK, "ok"), 1: (Status.WARN, "warning"), 2: (Status.FAIL, "critical")}


class CommandProbe:
    """Runs `command` in / with nothing in its environment but PATH, HOME and LANG.

    It has a process group of its own, of which nothing is left when a look ends, however it ends.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        search_path: str,
        home: Path,
        *,
        interval_seconds: float = 60.0,
        timeout_seconds: float = 10.0,
        critical: bool = False,
    ) -> None:
        own = f"own_{name}"
        criticality = Criticality.CRITICAL if critical else Criticality.IMPAIRING
        self.terms = Terms(own, own, criticality, interval_seconds, timeout_seconds + _DEADLINE_MARGIN_SECONDS)
        self._command = list(command)
        self._environment = {"PATH": search_path, "HOME": str(home), "LANG": "C.UTF-8"}
        self._timeout_seconds = timeout_seconds
        self._closed = threading.Event()

    def read(self) -> Reading:
        """What the command says; unknown when it cannot be started, says too much or ends with no code of theirs."""
        try:
            process = self._start()
        except OSError as cannot:
            message = f"{self._command[0]} cannot be started: {cannot.strerror or cannot}"
            remedy = "Correct [[health.check]] in runner.toml; name the program by its whole path."
            return Reading(Status.UNKNOWN, "not_found", message, remedy=remedy)
        with process:
            try:
                output, trouble = self._follow(process)
            finally:
                _end(process)
        return trouble or _judge(process.returncode, output)

    def close(self) -> None:
        """End a command under way within a glance."""
        self._closed.set()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )

    def _follow(self, process: subprocess.Popen[bytes]) -> tuple[bytes, Reading | None]:
        """The output until the command ended by itself, or else the reading that says why it was not let to."""
        assert process.stdout  # noqa: S101  it is a pipe
        os.set_blocking(process.stdout.fileno(), False)
        give_up_at = time.monotonic() + self._timeout_seconds
        output, ended = b"", False
        while not ended:
            ended = _ended_within(process, _GLANCE_SECONDS)
            output += _said(process.stdout, OUTPUT_BYTES + 1 - len(output))
            if len(output) > OUTPUT_BYTES:
                return output, Reading(Status.UNKNOWN, "unknown", f"it says more than {OUTPUT_BYTES} bytes")
            if not ended and self._closed.is_set():
                return output, Reading(Status.UNKNOWN, "unknown", "the gateway ends")
            if not ended and time.monotonic() >= give_up_at:
                return output, Reading(Status.FAIL, "timed_out", f"not done within {self._timeout_seconds:g} s")
        return output, None


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _said(pipe: IO[bytes], most: int) -> bytes:
    """What is in the pipe by now."""
    said = b""
    while len(said) < most and (piece := pipe.read(most - len(said))):
        said += piece
    return said


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judge(exit_code: int, output: bytes) -> Reading:
    status, code = _BY_EXIT_CODE.get(exit_code, (Status.UNKNOWN, "unknown"))
    data = {"exit_code": exit_code}
    return Reading(status, code, _first_line(output) or f"exit code {exit_code}", data)


def _first_line(output: bytes) -> str:
    """Without the figures for machines that may stand behind a bar, and nothing that could steer a terminal."""
    line = output.decode(errors="replace").strip().partition("\n")[0].partition("|")[0]
    return "".join(letter if letter.isprintable() else " " for letter in line).strip()

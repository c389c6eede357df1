"""The owner's own check: a command, judged by the exit codes of the Monitoring
Plugins.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status

_OUTPUT_BYTES = 64 * 1024
_GLANCE_SECONDS = 0.05
_SKIP_SECONDS = (
    0.005  # between two pieces of what is dropped: a flood must not take this process's time
)
_BY_EXIT = {0: (Status.OK, "ok"), 1: (Status.WARN, "warning"), 2: (Status.FAIL, "critical")}


@dataclass(frozen=True)
class OwnCheck:
    """What runner.toml says of one: its name, the command as a list of
    arguments, how often, how long, how grave.
    """

    name: str
    command: tuple[str, ...]
    interval_seconds: float = 60.0
    timeout_seconds: float = 10.0
    critical: bool = False


class CommandProbe:
    """Runs the command in a process group of its own, which is gone when the
    run is over, whatever it started.

    It sees this environment and no more. What it prints in its first line is
    the message.
    """

    def __init__(self, check: OwnCheck, environment: Mapping[str, str]) -> None:
        name = "own_" + check.name
        criticality = Criticality.CRITICAL if check.critical else Criticality.IMPAIRING
        self.spec = ProbeSpec(
            name, name, criticality, check.interval_seconds, check.timeout_seconds + 1
        )
        self._command = check.command
        self._seconds = check.timeout_seconds
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def read(self) -> Reading:
        """One run, to its end or to its timeout."""
        try:
            process = self._start()
        except OSError as refused:
            message = f"{self._command[0]}: {refused.strerror}"
            return Reading(
                Status.UNKNOWN,
                "not_found",
                message,
                remedy="Correct the command of this [[health.check]].",
            )
        try:
            output, in_time = self._follow(process)
        finally:
            _kill(process)
            self._process = None
        if not in_time:
            return Reading(
                Status.FAIL,
                "timed_out",
                f"it ran for {self._seconds:g} s and was ended",
                _data(None, output),
            )
        status, code = _BY_EXIT.get(process.returncode, (Status.UNKNOWN, "unknown"))
        return Reading(status, code, _first_line(output), _data(process.returncode, output))

    def close(self) -> None:
        """End a run that is under way."""
        self._closed = True
        if process := self._process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise OSError(0, "the gateway is stopping")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            cwd="/",
            start_new_session=True,
        )
        return self._process

    def _follow(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
        """The first part of what it prints, and whether it ended in time. The
        rest is read and dropped.
        """
        assert process.stdout  # noqa: S101  it is a pipe
        output, give_up_at = b"", time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while time.monotonic() < give_up_at and not self._closed:
                # Something it left running may keep the pipe open: its own end
                # counts.
                ended = process.poll() is not None
                if selector.select(0 if ended else _GLANCE_SECONDS):
                    piece = os.read(process.stdout.fileno(), _OUTPUT_BYTES)
                    output = (output + piece)[:_OUTPUT_BYTES]
                    if piece:
                        time.sleep(_SKIP_SECONDS if len(output) == _OUTPUT_BYTES else 0)
                        continue
                    ended = _ends(process, give_up_at)
                if ended:
                    return output, process.returncode is not None
        return output, False


def _ends(process: subprocess.Popen[bytes], give_up_at: float) -> bool:
    """Wait for one that has closed its output."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, give_up_at - time.monotonic()))
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # the group lives while anything in it does
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _first_line(output: bytes) -> str:
    lines = output[:4096].decode(errors="replace").strip().splitlines()
    return lines[0] if lines else ""


def _data(exit_code: int | None, output: bytes) -> dict[str, object]:
    return {
        "exit_code": exit_code,
        "output": output[:1000].decode(errors="replace"),
        "output_bytes": len(output),
    }

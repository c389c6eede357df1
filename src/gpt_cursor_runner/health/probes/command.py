"""A check of the owner's: a command, judged by the exit codes of the Monitoring
Plugins.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

from gpt_cursor_runner.config import OwnCheck
from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.system import processes

_OUTPUT_BYTES = 64 * 1024
_OUTPUT_SHOWN_BYTES = 1000
_FIRST_LINE_BYTES = 4096
# After each chunk that is dropped: reading the output of `yes` without a pause
# takes a whole core of the gateway.
_FLOOD_PAUSE_SECONDS = 0.005
_BY_EXIT_CODE = {0: "ok", 1: "warning", 2: "critical"}


class CommandProbe:
    """Runs the command with this environment alone. Its process group is gone
    when the run is over, with all processes that it started.
    """

    codes = CodeTable(
        ok=Code(CheckStatus.OK),
        warning=Code(CheckStatus.WARN),
        critical=Code(CheckStatus.FAIL),
        unknown=Code(CheckStatus.UNKNOWN),
        timed_out=Code(CheckStatus.FAIL),
        not_found=Code(CheckStatus.UNKNOWN, "Correct the command of this [[health.check]]."),
    )

    def __init__(self, check: OwnCheck, environment: Mapping[str, str]) -> None:
        self.spec = _spec(check)
        self._command = check.command
        self._timeout_seconds = check.timeout_seconds
        self._environment = dict(environment)
        self._child: processes.Child | None = None
        self._closed = False

    def read(self) -> Reading:
        """Run the command once. The first line of its output is the message."""
        try:
            child = self._start()
        except OSError as error:
            return self.codes.reading("not_found", f"{self._command[0]}: {error.strerror}")
        output = processes.BoundedOutput(_OUTPUT_BYTES)

        def receive(chunk: bytes) -> None:
            if output.is_head_full:
                time.sleep(_FLOOD_PAUSE_SECONDS)
            output.add(chunk)

        try:
            exited = processes.follow(child, receive, self._timeout_seconds, grace_seconds=0.0)
        finally:
            self._child = None
        if not exited:
            message = f"the command ran longer than {self._timeout_seconds:g} s and was killed"
            return self.codes.reading("timed_out", message, _data(None, output.head))
        code = _BY_EXIT_CODE.get(child.returncode, "unknown")
        data = _data(child.returncode, output.head)
        return self.codes.reading(code, _first_line(output.head), data)

    def close(self) -> None:
        """Kill a run under way, and start no other."""
        self._closed = True
        child = self._child
        if child is not None:
            processes.kill_group(child)

    def _start(self) -> processes.Child:
        if self._closed:
            raise OSError(0, "the gateway is stopping")
        self._child = processes.start(
            self._command,
            environment=self._environment,
            directory="/",
            stderr=subprocess.STDOUT,
        )
        # `close` may have been called before there was a child to kill.
        if self._closed:
            processes.kill_group(self._child)
        return self._child


def _spec(check: OwnCheck) -> ProbeSpec:
    name = "own_" + check.name
    criticality = Criticality.IMPAIRING
    if check.critical:
        criticality = Criticality.CRITICAL
    return ProbeSpec(
        name,
        name,
        criticality,
        interval_seconds=check.interval_seconds,
        # A second more, so that a command at its timeout reads as timed_out and
        # not as late.
        deadline_seconds=check.timeout_seconds + 1,
    )


def _first_line(output: bytes) -> str:
    lines = output[:_FIRST_LINE_BYTES].decode(errors="replace").strip().splitlines()
    if not lines:
        return ""
    return lines[0]


def _data(exit_code: int | None, output: bytes) -> dict[str, object]:
    return {
        "exit_code": exit_code,
        "output": output[:_OUTPUT_SHOWN_BYTES].decode(errors="replace"),
        "output_bytes": len(output),
    }

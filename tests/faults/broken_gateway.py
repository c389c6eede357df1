"""The real gateway under the real server, with a fault in its checks: the module
that granian's worker imports.

`GATEWAY_FAULT` names the fault; `HEALTH_RUNS` is a file that gets one byte for
every run of a check.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gpt_cursor_runner import wsgi
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.monitor.probe import Closeable, Probe

_HOUR = 3600.0
_HANG_AFTER_SECONDS = 4.0
_KILL_AFTER_SECONDS = 3.0
_STARTED_AT = time.monotonic()

Read = Callable[[Probe], Any]


class FaultyProbe:
    """A probe of the gateway with another `read`, a short deadline and no grace."""

    def __init__(self, probe: Probe, read: Read) -> None:
        deadline_seconds = min(1.0, probe.spec.deadline_seconds)
        self.spec = replace(probe.spec, deadline_seconds=deadline_seconds, grace_seconds=0.0)
        self._probe = probe
        self._read = read

    def read(self) -> Reading:
        reading: Reading = self._read(self._probe)
        return reading

    def close(self) -> None:
        if isinstance(self._probe, Closeable):
            self._probe.close()


class RubbishProbe:
    """A check beside the gateway's own that raises or returns rubbish."""

    def __init__(self, name: str, make_result: Callable[[], Any]) -> None:
        self.spec = ProbeSpec(
            name, name, Criticality.IMPAIRING, interval_seconds=0.5, deadline_seconds=2.0
        )
        self._make_result = make_result

    def read(self) -> Reading:
        result: Reading = self._make_result()
        return result


def _read(probe: Probe) -> Reading:
    return probe.read()


def _hang(_: Probe) -> None:
    time.sleep(_HOUR)


def _hang_runner(probe: Probe) -> Reading:
    if probe.spec.name == "runner":
        time.sleep(_HOUR)
    return probe.read()


def _hang_queue_later(probe: Probe) -> Reading:
    late = time.monotonic() - _STARTED_AT > _HANG_AFTER_SECONDS
    if probe.spec.name == "queue" and late:
        time.sleep(_HOUR)
    return probe.read()


def _count(probe: Probe) -> Reading:
    with open(os.environ["HEALTH_RUNS"], "ab", buffering=0) as runs:  # noqa: PTH123  as fast as possible
        runs.write(b".")
    return probe.read()


FAULTS: dict[str, Read] = {
    "hang_one": _hang_runner,
    "hang_all": _hang,
    "hang_later": _hang_queue_later,
    "counted": _count,
    "rubbish": _read,
    "kill_tick": _read,
}


def _make_rubbish() -> dict[str, Callable[[], Any]]:
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    secrets = "password=hunter2 in /srv/secret at postgres://me:hunter2@db.internal/x"
    return {
        "nothing": lambda: None,
        "bytes": lambda: b"rubbish",
        "nan": lambda: Reading(CheckStatus.OK, "well", data={"figure": float("nan")}),
        "cycle": lambda: Reading(CheckStatus.OK, "well", data=cycle),
        "ten_megabytes": lambda: Reading(CheckStatus.OK, "well", data={"text": "x" * 10_000_000}),
        "error": lambda: _raise(RuntimeError(secrets)),
        "exit": lambda: _raise(SystemExit(3)),
        "memory": lambda: _raise(MemoryError()),
        "recursion": _recurse,
    }


def _raise(error: BaseException) -> None:
    raise error


def _recurse() -> None:
    _recurse()


RUBBISH = tuple(_make_rubbish())


def application() -> Any:
    fault = os.environ["GATEWAY_FAULT"]
    watch, start = Monitor.watch, Monitor.start

    def watch_with_fault(monitor: Monitor, probe: Probe) -> None:
        watch(monitor, FaultyProbe(probe, FAULTS[fault]))

    def start_with_rubbish(monitor: Monitor) -> None:
        for name, make_result in _make_rubbish().items():
            watch(monitor, RubbishProbe(name, make_result))
        start(monitor)

    Monitor.watch = watch_with_fault  # type: ignore[method-assign, assignment]
    if fault == "rubbish":
        Monitor.start = start_with_rubbish  # type: ignore[method-assign, assignment]
    served = wsgi.application()
    if fault == "kill_tick":
        threading.Timer(_KILL_AFTER_SECONDS, _kill_the_tick).start()
    return served


def _kill_the_tick() -> None:
    """Raise SystemExit inside the monitor's thread, which nothing catches."""
    (tick,) = [thread for thread in threading.enumerate() if thread.name == "health-tick"]
    assert tick.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(tick.ident), ctypes.py_object(SystemExit)
    )

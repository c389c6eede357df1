"""The real gateway under the real server, with one thing broken in its checks:
what granian's worker imports.

`GATEWAY_FAULT` says what; `HEALTH_RUNS` is a file that gets one byte for every
run of a check.
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
from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.wiring import health as wiring

_HOUR = 3600.0
_wired = wiring.standard_probes  # type: ignore[attr-defined]


class Broken:
    """A probe of the gateway's, whose look is replaced and whose terms are
    kept, but for a short deadline.
    """

    def __init__(self, probe: Probe, read: Callable[[Probe], Any]) -> None:
        self.spec = replace(
            probe.spec, deadline_seconds=min(1.0, probe.spec.deadline_seconds), grace_seconds=0.0
        )
        self._probe, self._read = probe, read

    def read(self) -> Reading:
        found: Reading = self._read(self._probe)
        return found

    def close(self) -> None:
        self._probe.close()


def _hang(_: Probe) -> None:
    time.sleep(_HOUR)


def _hang_later(probe: Probe) -> Reading:
    if time.monotonic() - _BEGAN > 4:
        time.sleep(_HOUR)
    return probe.read()


def _counted(probe: Probe) -> Reading:
    with open(os.environ["HEALTH_RUNS"], "ab", buffering=0) as runs:  # noqa: PTH123  as quick as can be
        runs.write(b".")
    return probe.read()


def _rubbish() -> dict[str, Any]:
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    return {
        "nothing": lambda: None,
        "bytes": lambda: b"rubbish",
        "nan": lambda: Reading(Status.OK, "well", data={"figure": float("nan")}),
        "cycle": lambda: Reading(Status.OK, "well", data=cycle),
        "ten_megabytes": lambda: Reading(Status.OK, "well", data={"text": "x" * 10_000_000}),
        "error": lambda: _raise(
            RuntimeError("password=hunter2 in /srv/secret at postgres://me:hunter2@db.internal/x")
        ),
        "exit": lambda: _raise(SystemExit(3)),
        "memory": lambda: _raise(MemoryError()),
        "recursion": _recurse,
    }


def _raise(what: BaseException) -> None:
    raise what


def _recurse() -> None:
    _recurse()


def _only(name: str, read: Callable[[Probe], Any]) -> Callable[[Probe], Any]:
    return lambda probe: read(probe) if probe.spec.name == name else probe.read()


class Spoilt:
    """A check beside the gateway's own that raises or returns rubbish."""

    def __init__(self, name: str, said: Callable[[], Any]) -> None:
        self.spec = ProbeSpec(
            name, name, Criticality.IMPAIRING, interval_seconds=0.5, deadline_seconds=2.0
        )
        self._said = said

    def read(self) -> Reading:
        found: Reading = self._said()
        return found

    def close(self) -> None:
        """Nothing is held."""


def _fault(name: str) -> Callable[[Probe], Any]:
    return {
        "hang_one": _only("runner", _hang),
        "hang_all": _hang,
        "hang_later": _only("queue", _hang_later),
        "counted": _counted,
        "rubbish": lambda probe: probe.read(),
        "kill_tick": lambda probe: probe.read(),
    }[name]


RUBBISH = tuple(_rubbish())
_BEGAN = time.monotonic()


def application() -> Any:
    fault = os.environ["GATEWAY_FAULT"]
    spoilt = [Spoilt(name, said) for name, said in _rubbish().items()] if fault == "rubbish" else []

    def probes(**parts: Any) -> tuple[Any, ...]:
        return (*(Broken(one, _fault(fault)) for one in _wired(**parts)), *spoilt)

    wiring.standard_probes = probes  # type: ignore[attr-defined]
    served = wsgi.application()
    if fault == "kill_tick":
        threading.Timer(3.0, _kill_the_tick).start()
    return served


def _kill_the_tick() -> None:
    """Raise SystemExit inside the monitor's thread: it dies as a thread does
    that nobody expected to.
    """
    (tick,) = [thread for thread in threading.enumerate() if thread.name == "health-tick"]
    assert tick.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(tick.ident), ctypes.py_object(SystemExit)
    )

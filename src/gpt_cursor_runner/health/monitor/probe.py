"""The interface between the monitor and the checks that it runs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gpt_cursor_runner.health.monitor.model import ProbeSpec, Reading


class Probe(Protocol):
    """Observes one part. The monitor runs it in its own thread, never twice at
    once, and catches everything it raises.

    A run that exceeds the deadline of the spec is reported as late while it
    lasts.
    """

    spec: ProbeSpec

    def read(self) -> Reading:
        """Observe once. An exception becomes an unknown reading of this check."""


@runtime_checkable
class Closeable(Protocol):
    """A probe that holds a process, which the monitor ends when it stops."""

    def close(self) -> None:
        """Release it, also while `read` runs in another thread."""

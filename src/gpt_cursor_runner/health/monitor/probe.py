"""What a check is made of."""

from __future__ import annotations

from typing import Protocol

from gpt_cursor_runner.health.monitor.model import ProbeSpec, Reading


class Probe(Protocol):
    """Looks at one part. The monitor runs it in a thread of its own, never
    twice at once, and contains what it does.

    A run longer than the terms' deadline is reported as late while it lasts.
    """

    spec: ProbeSpec

    def read(self) -> Reading:
        """One look. What it raises becomes an unknown reading of this check."""

    def close(self) -> None:
        """Let go of what it holds, also while `read` is under way in another
        thread.
        """

"""Processes that belong together end together: a child sees that its parent is gone and follows."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

_GLANCE_SECONDS = 0.25


def parent_is_gone(expected: int) -> bool:
    """Whether the process that started us is no more: the kernel has given us another parent."""
    return os.getppid() != expected


def follow_parent(expected: int, leave: Callable[[], None]) -> None:
    """Call `leave` once when the parent is gone. A kill -9 of the parent leaves no other sign."""

    def watch() -> None:
        while not parent_is_gone(expected):
            time.sleep(_GLANCE_SECONDS)
        leave()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()

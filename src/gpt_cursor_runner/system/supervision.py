"""Processes that belong together end together: a child sees that its parent is
gone and follows.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

_GLANCE_SECONDS = 0.25


def parent_is_gone(expected: int) -> bool:
    """Whether the process that started us is no more: the kernel has given us
    another parent.
    """
    return os.getppid() != expected


def follow_parent(expected: int, leave: Callable[[], None]) -> None:
    """Call `leave` once when the parent is gone. A kill -9 of the parent leaves
    no other sign.
    """

    def watch() -> None:
        while not parent_is_gone(expected):
            time.sleep(_GLANCE_SECONDS)
        leave()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def hear_the_end(notify: Callable[[], None]) -> None:
    """Call `notify` once SIGTERM or SIGINT arrives, whoever handles these
    signals, now or later.

    To be called in the main thread, in a process without another wake-up
    descriptor.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def listen(_kept_open: socket.socket) -> None:
        while not {signal.SIGTERM, signal.SIGINT} & set(ours.recv(64)):
            pass
        notify()

    threading.Thread(target=listen, args=(theirs,), name="end-of-process", daemon=True).start()

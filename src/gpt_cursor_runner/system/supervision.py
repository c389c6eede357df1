"""A process follows its parent to the end, and acts on SIGTERM and SIGINT."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.25
_TERMINATION = {signal.SIGTERM, signal.SIGINT}


def parent_is_gone(expected: int) -> bool:
    """Whether the process that started this one has ended: the kernel has then
    assigned another parent.
    """
    return os.getppid() != expected


def follow_parent(expected: int, leave: Callable[[], None]) -> None:
    """Call `leave` once, in a thread, when the parent has ended. A kill -9 of
    the parent leaves no other sign.
    """

    def watch() -> None:
        while not parent_is_gone(expected):
            time.sleep(_POLL_SECONDS)
        leave()

    # Not a PeriodicThread: it runs for the life of the process, and once.
    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def event_at_signals(*numbers: signal.Signals) -> threading.Event:
    """Return an event that is set when one of these signals arrives."""
    event = threading.Event()
    for number in numbers:
        signal.signal(number, lambda *_: event.set())
    return event


def call_on_termination(notify: Callable[[], None]) -> None:
    """Call `notify` once, in a thread, when SIGTERM or SIGINT arrives, also
    when other code installs its handlers for them, now or later.

    To be called in the main thread of a process without another wake-up
    descriptor.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def listen(_sender_kept_open: socket.socket) -> None:
        while not _TERMINATION & set(receiver.recv(64)):
            pass
        notify()

    threading.Thread(target=listen, args=(sender,), name="termination", daemon=True).start()

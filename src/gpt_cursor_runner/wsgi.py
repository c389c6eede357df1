"""The module that granian's worker process imports: builds the gateway and
starts its threads, after the fork.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

from gpt_cursor_runner.config import find_config
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.system.supervision import call_on_termination, follow_parent
from gpt_cursor_runner.wiring.gateway import build_gateway
from gpt_cursor_runner.wiring.logs import configure_logs

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def application() -> WSGIApplication:
    """The factory named to granian."""
    settings = Settings.load(find_config())
    configure_logs(settings.config.state, "gateway")
    # A worker of granian lives on when its parent is killed, and keeps the port.
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        follow_parent(parent.pid, lambda: os._exit(1))
    gateway = build_gateway(settings)
    gateway.start()
    call_on_termination(gateway.leave)
    # A forked worker ends without `atexit` functions; a Finalize runs in a forked
    # and in a spawned one. Stopping writes the end of the health history, and
    # ends the threads: one that logs during the shutdown of the interpreter
    # aborts the process.
    Finalize(None, gateway.stop, exitpriority=0)
    return gateway.app

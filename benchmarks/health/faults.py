"""Real faults of a real installation. Each begins on entering its context and
is repaired on leaving it.
"""

from __future__ import annotations

import select
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import psutil

from benchmarks.health.servers import helper_of
from gpt_cursor_runner.ledger.database import LEDGER_NAME
from tests.running import Installation

_FOREIGN_LISTENERS = 32
_FOREIGN_ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def root_of(installation: Installation) -> int:
    """The root process of the installation's gateway."""
    return (installation.processes.get("up") or installation.processes["gateway"]).pid


def runner_of(installation: Installation) -> psutil.Process:
    """The runner, started by us or by `up`."""
    if "runner" in installation.processes:
        return psutil.Process(installation.processes["runner"].pid)
    below = psutil.Process(root_of(installation)).children()
    return next(child for child in below if "runner" in child.cmdline()[3:4])


@contextmanager
def runner_killed(installation: Installation) -> Iterator[None]:
    """SIGKILL. Under `up` the runner is restarted, otherwise it is started on
    leaving the context.
    """
    if "up" in installation.processes:
        runner_of(installation).kill()
        yield
    else:
        installation.kill("runner")
        yield
        installation.start("runner")


def runner_stopped(installation: Installation) -> AbstractContextManager[None]:
    return _suspended(runner_of(installation))


def disk_hung(installation: Installation) -> AbstractContextManager[None]:
    """The process that tests the disk does not return, as on a dead mount."""
    return _suspended(helper_of(root_of(installation)))


@contextmanager
def helper_killed(installation: Installation) -> Iterator[None]:
    """Needs no repair: the next test starts a new process."""
    helper_of(root_of(installation)).kill()
    yield


@contextmanager
def patches_missing(installation: Installation) -> Iterator[None]:
    """The directory of evidence is moved away. When another process creates it
    meanwhile, its files are kept.
    """
    patches = installation.directory / "state/patches"
    away = patches.with_name("patches.away")
    patches.rename(away)
    try:
        yield
    finally:
        if patches.is_dir():
            shutil.copytree(patches, away, dirs_exist_ok=True)
            shutil.rmtree(patches)
        away.rename(patches)


@contextmanager
def patches_a_file(installation: Installation) -> Iterator[None]:
    """A file in place of the directory of evidence."""
    with patches_missing(installation):
        instead = installation.directory / "state/patches"
        instead.touch()
        try:
            yield
        finally:
            instead.unlink()


@contextmanager
def ledger_locked(installation: Installation) -> Iterator[None]:
    """Hold the ledger's write lock, as a faulty program would."""
    connection = sqlite3.connect(
        installation.directory / "state" / LEDGER_NAME, timeout=10, isolation_level=None
    )
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


@contextmanager
def port_foreign(installation: Installation) -> Iterator[None]:
    """Another program shares the port and gets nearly all new connections,
    because it listens many times.
    """
    stopped = threading.Event()
    with ExitStack() as sockets:
        listeners = [
            sockets.enter_context(_share(installation.port)) for _ in range(_FOREIGN_LISTENERS)
        ]
        answering = threading.Thread(
            target=_answer_as_another, args=(listeners, stopped), daemon=True
        )
        answering.start()
        try:
            yield
        finally:
            stopped.set()
            answering.join()


def _share(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(16)
    return listener


def _answer_as_another(listeners: Sequence[socket.socket], stopped: threading.Event) -> None:
    while not stopped.is_set():
        for listener in select.select(listeners, [], [], 0.1)[0]:
            with suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.settimeout(1)
                    client.recv(4096)
                    client.sendall(_FOREIGN_ANSWER)


@contextmanager
def _suspended(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()

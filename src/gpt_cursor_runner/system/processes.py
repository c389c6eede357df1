"""Child processes with a deadline. Each is the leader of a process group of its
own, which is ended together with it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# For `stderr`: one stream for both outputs.
TO_STDOUT = subprocess.STDOUT
GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05
TICK_SECONDS = 0.2
_CHUNK_BYTES = 65_536

Child = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Completed:
    exit_code: int
    stdout: bytes
    stderr: bytes


class DeadlinePassed(Exception):
    """The command ran longer than allowed and was ended."""


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | str | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a command in a session and process group of its own; OSError when
    it does not start.
    """
    return subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        pass_fds=pass_fds,
    )


def run(
    command: Sequence[str],
    deadline_seconds: float,
    *,
    data: bytes = b"",
    environment: Mapping[str, str] | None = None,
    directory: Path | str | None = None,
) -> Completed:
    """Run a command with `data` as its input and return all of its output.

    Raises DeadlinePassed, and OSError when the command does not start.
    """
    # Not subprocess.run, which at its timeout kills the child alone and leaves
    # the processes that the child started.
    with start(
        command, environment=environment, directory=directory, stdin=subprocess.PIPE
    ) as child:
        try:
            stdout, stderr = child.communicate(data, deadline_seconds)
        except subprocess.TimeoutExpired as late:
            raise DeadlinePassed from late
        finally:
            if child.returncode is None:
                end_group(child)
    return Completed(child.returncode, stdout, stderr)


def follow(
    child: Child,
    receive: Callable[[bytes], None],
    timeout_seconds: float,
    tick: Callable[[], None] | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> bool:
    """Pass the output of a child to `receive` until the child exits; return
    False when it did not exit in time.

    `tick` is called about five times a second; its exceptions end the child and
    are passed on. In every case the process group is gone afterwards.
    """
    give_up_at = time.monotonic() + timeout_seconds
    try:
        return _read_until_exit(child, receive, give_up_at, tick)
    finally:
        end_group(child, grace_seconds)
        _read_rest(child, receive, grace_seconds)


def end_group(child: Child, grace_seconds: float = GRACE_SECONDS) -> None:
    """Send SIGTERM to the group of a child that still runs, and SIGKILL after
    `grace_seconds`, also to what a child that has exited left behind.
    """
    if child.poll() is None:
        _signal_group(child, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(grace_seconds)
    kill_group(child)


def kill_group(child: Child) -> None:
    """Kill the group at once and wait for the child."""
    _signal_group(child, signal.SIGKILL)
    child.wait()


class BoundedOutput:
    """Keeps the first `head_bytes` and the last `tail_bytes` of an output and
    counts the rest.
    """

    def __init__(self, head_bytes: int, tail_bytes: int = 0) -> None:
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._head = bytearray()
        # Whole chunks, trimmed only when read: cutting a bytearray at its front
        # for every chunk of a flood would copy the tail each time.
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.size = 0

    @property
    def head(self) -> bytes:
        return bytes(self._head)

    @property
    def is_head_full(self) -> bool:
        return len(self._head) == self._head_bytes

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        room = self._head_bytes - len(self._head)
        self._head += chunk[:room]
        rest = chunk[room:]
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
        while self._tail and self._tail_size - len(self._tail[0]) >= self._tail_bytes:
            self._tail_size -= len(self._tail.popleft())

    def kept(self) -> bytes:
        """Head and tail, with a line between them that counts the gap."""
        left_out = self.size - len(self._head) - self._tail_size
        gap = b""
        if left_out:
            gap = f"\n[… {left_out} bytes left out …]\n".encode()
        return self.head + gap + b"".join(self._tail)


def _read_until_exit(
    child: Child,
    receive: Callable[[bytes], None],
    give_up_at: float,
    tick: Callable[[], None] | None,
) -> bool:
    pipe = _stdout(child)
    next_tick_at = 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        # The exit of the child counts, not the end of its output: processes
        # that it left behind may hold the pipe open.
        while child.poll() is None:
            now = time.monotonic()
            if now >= give_up_at:
                return False
            if tick is not None and now >= next_tick_at:
                tick()
                next_tick_at = now + TICK_SECONDS
            if selector.select(_POLL_SECONDS) and not _read_chunk(pipe, receive):
                # The child has closed its output and still runs.
                selector.unregister(pipe)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_POLL_SECONDS)
    return True


def _read_rest(child: Child, receive: Callable[[bytes], None], grace_seconds: float) -> None:
    """Read until the pipe is closed by the last process that holds it. In a
    sandbox that is a moment after the child; a process that left the group may
    hold it for longer, so the time is limited.
    """
    give_up_at = time.monotonic() + grace_seconds
    with _stdout(child) as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = max(0.0, give_up_at - time.monotonic())
            if not selector.select(left) or not _read_chunk(pipe, receive):
                break
            if left == 0.0:
                break


def _read_chunk(pipe: IO[bytes], receive: Callable[[bytes], None]) -> bool:
    chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
    receive(chunk)
    return chunk != b""


def _stdout(child: Child) -> IO[bytes]:
    if child.stdout is None:
        raise ValueError("the child was started without a pipe")
    return child.stdout


def _signal_group(child: Child, number: signal.Signals) -> None:
    # PermissionError: macOS, when only zombies are left of the group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)

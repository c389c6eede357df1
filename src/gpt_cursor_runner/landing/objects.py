"""Reading trees and blobs through one `git cat-file --batch-command` process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from gpt_cursor_runner.formats.tree import EntryKind
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.patch.faults import WorldFailed
from gpt_cursor_runner.system.periodic import PeriodicThread
from gpt_cursor_runner.system.processes import kill_group

_CHUNK_BYTES = 1 << 20
# git answers one while the next are on their way. So few fit into a pipe, whose
# reader may itself be waiting to write.
_REQUESTS_AT_ONCE = 100
_KINDS: dict[str, EntryKind] = {
    "100644": "file",
    "100664": "file",  # written by git before 1.0
    "100755": "executable",
    "120000": "symlink",
    "160000": "submodule",
    "40000": "directory",
}


@dataclass(frozen=True)
class Header:
    """Id, type (blob, tree, commit or tag) and size of an object."""

    oid: str
    kind: str
    size: int


@dataclass(frozen=True)
class TreeEntry:
    name: str
    kind: EntryKind
    oid: str


class Objects:
    """A context manager around the git process. A git that does not answer a
    request within the deadline is killed, which raises WorldFailed.
    """

    def __init__(self, git: Git) -> None:
        self.git = git
        self._waiting_since: float | None = None
        self._watch = PeriodicThread("git-deadline", self._kill_when_stuck, join_seconds=0.0)

    def __enter__(self) -> Self:
        self._process = self.git.start("cat-file", "--batch-command")
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.stop()
        kill_group(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # Closing flushes a request that git did not live to read.
                with suppress(BrokenPipeError):
                    pipe.close()

    def header(self, name: str) -> Header | None:
        """The header of the object that `name` names, or None. The contents
        must then be read with `contents`.
        """
        return self._request("contents", name)

    def info(self, name: str) -> Header | None:
        """As `header`, but no contents follow."""
        return self._request("info", name)

    def _request(self, command: str, name: str) -> Header | None:
        self._send([f"{command} {name}"])
        return self._read_header()

    def _send(self, requests: Sequence[str]) -> None:
        lines = "".join(f"{request}\n" for request in requests)
        # When git is gone the read of the header returns nothing.
        with self._deadline() as (stdin, _), suppress(BrokenPipeError):
            stdin.write(lines.encode(errors="surrogateescape"))
            stdin.flush()

    def _read_header(self) -> Header | None:
        with self._deadline() as (_, stdout):
            words = stdout.readline().rstrip(b"\n").rsplit(b" ", 2)
        if len(words) == 3 and words[2].isdigit():
            return Header(words[0].decode(), words[1].decode(), int(words[2]))
        if words[-1] in (b"missing", b"ambiguous"):
            return None
        raise _stopped()

    def contents(self, size: int) -> Iterator[bytes]:
        """The contents announced by the last `header`, in chunks."""
        left = size + 1  # a newline follows
        while left:
            with self._deadline() as (_, stdout):
                chunk = stdout.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise _stopped()
            left -= len(chunk)
            if left == 0:
                chunk = chunk[:-1]
            yield chunk

    def open(self, oid: str) -> tuple[int, Iterator[bytes]]:
        """Size and contents, in chunks, of an object that must exist."""
        header = self.header(oid)
        if header is None:
            raise _missing(oid)
        return header.size, self.contents(header.size)

    def open_each(self, oids: Sequence[str]) -> Iterator[Iterator[bytes]]:
        """The contents of objects that must exist, in chunks. Each must be read
        to its end before the next.
        """
        for start in range(0, len(oids), _REQUESTS_AT_ONCE):
            batch = oids[start : start + _REQUESTS_AT_ONCE]
            self._send([f"contents {oid}" for oid in batch])
            for oid in batch:
                header = self._read_header()
                if header is None:
                    raise _missing(oid)
                yield self.contents(header.size)

    def read(self, oid: str) -> bytes:
        _, chunks = self.open(oid)
        return b"".join(chunks)

    def tree(self, oid: str) -> list[TreeEntry]:
        """The entries of one tree object (format: git's tree-walk.c: mode, space,
        name, NUL, raw id).
        """
        raw = self.read(oid)
        id_bytes = len(oid) // 2
        entries = []
        start = 0
        while start < len(raw):
            space = raw.index(b" ", start)
            end = raw.index(b"\0", start)
            name = raw[space + 1 : end].decode(errors="surrogateescape")
            kind = _KINDS.get(raw[start:space].decode(), "file")
            start = end + 1 + id_bytes
            entries.append(TreeEntry(name, kind, raw[end + 1 : start].hex()))
        return entries

    @contextmanager
    def _deadline(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        if self._process.stdin is None or self._process.stdout is None:
            raise _stopped()
        self._waiting_since = time.monotonic()
        try:
            yield self._process.stdin, self._process.stdout
        finally:
            self._waiting_since = None

    def _kill_when_stuck(self) -> float:
        deadline = self.git.deadline_seconds
        since = self._waiting_since
        if since is not None and time.monotonic() - since > deadline:
            kill_group(self._process)
        return deadline / 4


def _missing(oid: str) -> WorldFailed:
    return WorldFailed(
        "object_missing", f"the repository lacks object {oid}", "Check it with `git fsck`."
    )


def _stopped() -> WorldFailed:
    return WorldFailed(
        "git_stopped", "git cat-file stopped answering", "Check the repository with `git fsck`."
    )

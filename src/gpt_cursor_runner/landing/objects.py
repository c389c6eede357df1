"""Reading trees and blobs through one `git cat-file --batch-command` process.

Trees are read raw and walked part by part, so that a lookup costs the depth of
the path, whatever the size of the repository, and tells links and submodules
from directories.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from gpt_cursor_runner.formats.tree import EntryKind, Merged
from gpt_cursor_runner.landing.git import Git, kill
from gpt_cursor_runner.landing.merging import merge_texts
from gpt_cursor_runner.patch.outcome import Fault, PatchRefused, WorldFailed

_CHUNK_BYTES = 1 << 20
_BLOB_ID = re.compile(r"[0-9a-f]{7,64}")
# A file is planned in memory, a few times over; the forges refuse files beyond
# this as well.
MAX_FILE_BYTES = 100 << 20
_KINDS: dict[str, EntryKind] = {
    "100644": "file",
    "100664": "file",  # ancient git wrote this one
    "100755": "executable",
    "120000": "symlink",
    "160000": "submodule",
    "40000": "directory",
}


@dataclass(frozen=True)
class TreeEntry:
    name: str
    kind: EntryKind
    oid: str


class Objects:
    """Open for the time of one reading; a git that does not answer a request
    within the deadline is killed.
    """

    def __init__(self, git: Git) -> None:
        self.git = git
        self._closed = threading.Event()
        self._waiting_since: float | None = None

    def __enter__(self) -> Self:
        self._process = self.git.start("cat-file", "--batch-command", stderr=subprocess.DEVNULL)
        threading.Thread(target=self._kill_when_stuck, name="git-deadline", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        kill(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # what was still to be written
                if pipe is not None:
                    pipe.close()

    def header(self, name: str) -> tuple[str, str, int] | None:
        """Oid, type and size of what `name` names, or None; the contents must
        then be read with `contents`.
        """
        return self._ask("contents", name)

    def info(self, name: str) -> tuple[str, str, int] | None:
        """Oid, type and size of what `name` names, or None; no contents follow."""
        return self._ask("info", name)

    def _ask(self, command: str, name: str) -> tuple[str, str, int] | None:
        with self._deadline() as (stdin, stdout):
            with suppress(BrokenPipeError):  # then there is no answer either
                stdin.write(f"{command} {name}\n".encode(errors="surrogateescape"))
                stdin.flush()
            words = stdout.readline().rstrip(b"\n").rsplit(b" ", 2)
        if len(words) == 3 and words[2].isdigit():
            return words[0].decode(), words[1].decode(), int(words[2])
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
            yield chunk if left else chunk[:-1]

    def open(self, oid: str) -> tuple[int, Iterator[bytes]]:
        """Size and contents, in chunks, of an object that must be there."""
        found = self.header(oid)
        if found is None:
            raise WorldFailed(
                "object_missing", f"the repository lacks object {oid}", "Check it with `git fsck`."
            )
        return found[2], self.contents(found[2])

    def read(self, oid: str) -> bytes:
        return b"".join(self.open(oid)[1])

    def tree(self, oid: str) -> list[TreeEntry]:
        """The entries of one tree object (format: git's tree.c: mode, space,
        name, NUL, raw oid).
        """
        raw, width, at, entries = self.read(oid), len(oid) // 2, 0, []
        while at < len(raw):
            space, end = raw.index(b" ", at), raw.index(b"\0", at)
            name = raw[space + 1 : end].decode(errors="surrogateescape")
            kind = _KINDS.get(raw[at:space].decode(), "file")
            entries.append(TreeEntry(name, kind, raw[end + 1 : end + 1 + width].hex()))
            at = end + 1 + width
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

    def _kill_when_stuck(self) -> None:
        deadline = self.git.deadline_seconds
        while not self._closed.wait(deadline / 4):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > deadline:
                kill(self._process)


def _stopped() -> WorldFailed:
    return WorldFailed(
        "git_stopped", "git cat-file stopped answering", "Check the repository with `git fsck`."
    )


class CommitTree:
    """The tree of one commit as the planner sees it (`formats/tree.py`)."""

    def __init__(self, objects: Objects, tree_oid: str) -> None:
        self._objects = objects
        self._directories: dict[str, dict[str, TreeEntry]] = {"": self._load(tree_oid)}

    def kind(self, path: str) -> EntryKind | None:
        entry = self._entry(path)
        return entry.kind if entry else None

    def read(self, path: str) -> bytes:
        entry = self._entry(path)
        if entry is None or entry.kind not in ("file", "executable"):
            raise KeyError(path)
        size, chunks = self._objects.open(entry.oid)
        if size > MAX_FILE_BYTES:
            raise PatchRefused([_too_large(path, size)])
        return b"".join(chunks)

    def names(self, directory: str) -> Set[str]:
        return self._directory(directory).keys()

    def blob(self, oid: str) -> bytes | None:
        # A ref, or a path in a commit, may be spelt like what was asked for:
        # only an object of that id is meant.
        found = self._objects.info(oid) if _BLOB_ID.fullmatch(oid) else None
        if (
            found is None
            or found[1] != "blob"
            or not found[0].startswith(oid)
            or found[2] > MAX_FILE_BYTES
        ):
            return None
        return self._objects.read(found[0])

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        return merge_texts(self._objects.git, base, ours, theirs)

    def _entry(self, path: str) -> TreeEntry | None:
        parent, _, name = path.rpartition("/")
        return self._directory(parent).get(name)

    def _directory(self, path: str) -> dict[str, TreeEntry]:
        if path not in self._directories:
            entry = self._entry(path)
            is_directory = entry is not None and entry.kind == "directory"
            self._directories[path] = self._load(entry.oid) if entry and is_directory else {}
        return self._directories[path]

    def _load(self, oid: str) -> dict[str, TreeEntry]:
        return {entry.name: entry for entry in self._objects.tree(oid)}


def _too_large(path: str, size: int) -> Fault:
    return Fault(
        code="too_large",
        message=f"{path} has {size} bytes, and files beyond {MAX_FILE_BYTES} bytes are not patched",
        next_step="Leave this file out of the patch.",
        path=path,
    )

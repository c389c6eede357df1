"""The tree that a patch is planned on: the base tree with the earlier changes of
the patch. Every rule about paths that needs a tree is enforced here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rapidfuzz import process

from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES, MAX_PATHS, MAX_TOTAL_BYTES
from gpt_cursor_runner.formats.overlay import FILE_KINDS, Overlay, in_directory, parents
from gpt_cursor_runner.formats.tree import EntryKind, File, FileAction, Merged, Tree
from gpt_cursor_runner.patch.faults import Fault, Refused

# As many as an answer lists: each compares with every name of a folder.
_MOST_SUGGESTIONS = 20
_BLOB_ID = re.compile(r"[0-9a-f]{7,64}")
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_DESCRIPTIONS: dict[EntryKind, str] = {
    "file": "a file",
    "executable": "a file",
    "symlink": "a symbolic link",
    "submodule": "a submodule",
    "directory": "a directory",
}


class Refusal(Refused):
    """An operation that the tree does not allow: a fault without its place in
    the patch.
    """

    def __init__(
        self,
        code: str,
        path: str,
        message: str,
        next_step: str,
        candidates: tuple[str, ...] = (),
    ) -> None:
        super().__init__(Fault(code, message, next_step, path=path, candidates=candidates))


@dataclass(eq=False)
class Spoiled(Exception):
    """The earlier change with index `change` failed on this file, so a later one
    cannot be checked.
    """

    path: str
    change: int


@dataclass(frozen=True)
class DetachedFile:
    """A file that was taken out of the tree to be moved; `origin` is its path in
    the base tree.
    """

    file: File
    origin: str


class VirtualTree:
    """The base tree with the changes planned so far. Operations that a rule
    forbids raise Refusal, and those on a spoiled path raise Spoiled.
    """

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._overlay = Overlay(base)
        self._spoiled: dict[str, int] = {}
        self._sizes: dict[tuple[str, str], int] = {}  # by path and side: "before" or "after"
        self._total_bytes = 0
        self._left_suggestions = _MOST_SUGGESTIONS

    def kind(self, path: str) -> EntryKind | None:
        """The kind of entry at this path now; None when there is none."""
        return self._overlay.kind(path)

    def file(self, path: str) -> File:
        """Return the file at this path."""
        self._check_parents(path)
        kind = self.kind(path)
        if kind is None:
            raise self._missing_file(path)
        if kind not in FILE_KINDS:
            raise _not_a_file(path, kind)
        file = self._overlay.read(path, kind)
        self._count_bytes(path, "after" if self._overlay.is_touched(path) else "before", file)
        return file

    def text_file(self, path: str) -> File:
        """Return the file at this path, to be edited as text."""
        file = self.file(path)
        _check_size(path, len(file.data))
        step = "Send the whole file as an upsert with contents_b64."
        if b"\0" in file.data:
            message = f"{path} has NUL bytes, so it cannot be edited as text"
            raise Refusal("binary", path, message, step)
        if file.data.startswith(_UTF16_BOMS):
            message = f"{path} is in UTF-16, which cannot be edited as text"
            raise Refusal("encoding", path, message, step)
        return file

    def version(self, blob: str) -> bytes | None:
        """Return the text of the git blob with this id, possibly abbreviated;
        None when there is none that could be edited as text.
        """
        if not _BLOB_ID.fullmatch(blob) or not blob.strip("0"):
            return None
        data = self._base.blob(blob)
        if data is None or len(data) > MAX_FILE_BYTES or b"\0" in data:
            return None
        return data

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        """Run git's own three-way merge."""
        return self._base.merge(base, ours, theirs)

    def write(self, path: str, file: File) -> None:
        """Create or overwrite a file."""
        self._write(path, file, origin=None)

    def create(self, path: str, file: File) -> None:
        """Write a file at a free path; Refusal `already_applied` when the same
        bytes are there.
        """
        self._check_parents(path)
        kind = self.kind(path)
        if kind in FILE_KINDS and self.file(path).data == file.data:
            raise Refusal(
                "already_applied",
                path,
                f"{path} already exists with exactly these contents",
                "Leave this change out: it is already applied.",
            )
        if kind is not None:
            raise Refusal(
                "exists",
                path,
                f"{path} already exists ({_DESCRIPTIONS[kind]})",
                "Read the existing file and change it, choose another path, or use an upsert to"
                " overwrite it.",
            )
        self.write(path, file)

    def delete(self, path: str) -> None:
        self.file(path)
        self._check_limits(path, None)
        self._overlay.delete(path)

    def move(self, source: str, target: str) -> None:
        """Move a file to a free path."""
        self.file(source)
        if source == target:
            raise Refusal(
                "no_op",
                source,
                f"{source} would be moved to its own path",
                "Leave the move out or name another target.",
            )
        self.attach(target, self.detach(source))

    def detach(self, path: str) -> DetachedFile:
        """Take a file out of the tree, to be attached at another path."""
        detached = DetachedFile(self.file(path), self._overlay.origin(path))
        self.delete(path)
        return detached

    def attach(self, target: str, detached: DetachedFile) -> None:
        """Write a detached file at a free path."""
        self._check_parents(target)
        # Equal bytes are no excuse, as they are for `create`: the source of a move
        # still exists.
        if kind := self.kind(target):
            raise Refusal(
                "exists",
                target,
                f"{target} already exists ({_DESCRIPTIONS[kind]})",
                "Choose another target, or delete the existing entry in an earlier change.",
            )
        self._write(target, detached.file, origin=detached.origin)

    def spoil(self, paths: Iterable[str], change: int) -> None:
        """Make every later use of these paths raise Spoiled with the first
        change that failed on them.
        """
        for path in paths:
            self._spoiled.setdefault(path, change)

    def actions(self) -> tuple[FileAction, ...]:
        """The differences from the base tree, sorted by path."""
        return self._overlay.actions()

    def _write(self, path: str, file: File, *, origin: str | None) -> None:
        self._check_parents(path)
        kind = self.kind(path)
        if kind is not None and kind not in FILE_KINDS:
            raise _not_a_file(path, kind)
        _check_size(path, len(file.data))
        if kind is None:
            self._check_collisions(path)
        self._check_limits(path, file)
        self._overlay.write(path, file, origin=origin)

    def _check_limits(self, path: str, file: File | None) -> None:
        is_new = not self._overlay.is_touched(path)
        if is_new and self._overlay.touched_count >= MAX_PATHS:
            raise _over_limit(path, f"more than {MAX_PATHS} paths")
        self._count_bytes(path, "after", file)

    def _count_bytes(self, path: str, side: str, file: File | None) -> None:
        # Both sides of every file are in memory until the plan is sealed.
        size = len(file.data) if file else 0
        total = self._total_bytes + size - self._sizes.get((path, side), 0)
        if total > MAX_TOTAL_BYTES:
            what = f"files of more than {MAX_TOTAL_BYTES} bytes, before and after"
            raise _over_limit(path, what)
        self._sizes[path, side] = size
        self._total_bytes = total

    def _check_parents(self, path: str) -> None:
        if path in self._spoiled:
            raise Spoiled(path, self._spoiled[path])
        for parent in parents(path):
            self._check_parent(path, parent)

    def _check_parent(self, path: str, parent: str) -> None:
        kind = self.kind(parent)
        # A link may lead out of the repository, to any file of the machine.
        if kind in ("symlink", "submodule"):
            raise Refusal(
                "path_escape",
                path,
                f"{parent} is a {kind}, and a patch must not write through it",
                "Name the file by its real path inside this repository.",
            )
        if kind in FILE_KINDS:
            raise Refusal(
                "not_a_file",
                path,
                f"{parent} is a file, so {path} cannot be inside it",
                f"Choose a path that does not pass through {parent}, or delete that file first.",
            )

    def _check_collisions(self, path: str) -> None:
        """Refuse a new name, at any level of the path, that a case-folding file
        system does not distinguish from an existing one.
        """
        # On such a file system one of the two would overwrite the other at
        # checkout.
        for level in (*parents(path), path):
            existing = self._overlay.colliding_path(level)
            if existing is not None:
                raise Refusal(
                    "exists",
                    path,
                    f"{level} and the existing {existing} differ only in case or in Unicode"
                    " composition",
                    f"Use the existing name {existing}, or a clearly different one.",
                )

    def _missing_file(self, path: str) -> Refusal:
        parent, _, name = path.rpartition("/")
        siblings = in_directory(parent, self._similar_names(name, parent))
        similar = tuple(filter(self._is_file, siblings))
        message = f"there is no file {path}"
        if parent and not self.kind(parent):
            message += f" (nor is there a folder {parent})"
        step = "Correct the path, or create it first."
        if similar:
            step = f"Did you mean {similar[0]}? Correct the path."
        return Refusal("missing_file", path, message, step, similar)

    def _is_file(self, path: str) -> bool:
        return self.kind(path) in FILE_KINDS

    def _similar_names(self, name: str, directory: str) -> list[str]:
        self._left_suggestions -= 1
        if self._left_suggestions < 0:
            return []
        names = sorted(set(self._overlay.names(directory)))
        similar = process.extract(name, names, limit=5, score_cutoff=60)
        return [sibling for sibling, _, _ in similar]


def _not_a_file(path: str, kind: EntryKind) -> Refusal:
    return Refusal(
        "not_a_file",
        path,
        f"{path} is {_DESCRIPTIONS[kind]}",
        "Name a regular file; a patch cannot change links and folders.",
    )


def _check_size(path: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise Refusal(
            "too_large",
            path,
            f"{path} has {size} bytes; the limit for one file is {MAX_FILE_BYTES}",
            "Leave this file out, or split it.",
        )


def _over_limit(path: str, what: str) -> Refusal:
    return Refusal(
        "limit",
        path,
        f"with {path} the patch touches {what}",
        "Send it as several patches, one after another.",
    )

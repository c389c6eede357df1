"""A tree with the patch's changes laid over it, in order. Every path rule that
needs a tree is enforced here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from rapidfuzz import process

from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES, MAX_PATHS, MAX_TOTAL_BYTES
from gpt_cursor_runner.formats.tree import EntryKind, File, FileAction, FileMode, Merged, Tree
from gpt_cursor_runner.patch.paths import fold_path

_FILES = ("file", "executable")
_MOST_SUGGESTIONS = 20  # as many as an answer lists: each compares with every name of a folder
_BLOB_ID = re.compile(r"[0-9a-f]{7,64}")


@dataclass(eq=False)
class Refusal(Exception):
    """A step that the tree does not allow, said as a fault without its place in
    the patch.
    """

    code: str
    path: str
    message: str
    next_step: str
    candidates: tuple[str, ...] = ()


@dataclass(eq=False)
class Spoiled(Exception):
    """An earlier change (`change`) failed on this file, so nothing true can be
    said about a later one.
    """

    path: str
    change: int


@dataclass(frozen=True)
class Taken:
    """A file on its way from one path to another; `origin` is its path in the
    base tree.
    """

    file: File
    origin: str


class VirtualTree:
    """The base tree as the changes so far would leave it."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._files: dict[str, File | None] = {}
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._folded: dict[str, defaultdict[str, set[str]]] = {}
        self._origins: dict[str, str] = {}
        self._spoiled: dict[str, int] = {}
        self._bytes: dict[
            tuple[str, str], int
        ] = {}  # of each file before and after, as far as they are known
        self._total_bytes = 0
        self._left_suggestions = _MOST_SUGGESTIONS
        self._made: Counter[str] = (
            Counter()
        )  # how many files were put below each directory and still stand
        self._gone: Counter[str] = (
            Counter()
        )  # how many paths below each directory were emptied and still are
        self._base_left: dict[str, list[str]] = {}

    def kind(self, path: str) -> EntryKind | None:
        """What stands at this path now."""
        if file := self._files.get(path):
            return "executable" if file.mode == "100755" else "file"
        below = None if path in self._files else self._base.kind(path)
        if below not in (None, "directory"):
            return below
        if self._made[path]:
            return "directory"
        return below if not self._gone[path] or self._keeps_anything(path) else None

    def file(self, path: str) -> File:
        """The file at this path; Refusal when there is none or when it may not
        be touched.
        """
        self._check_parents(path)
        kind = self.kind(path)
        if kind is None:
            raise self._missing(path)
        if kind not in _FILES:
            raise self._not_a_file(path, kind)
        file = self._files.get(path) or self._base_file(path, kind)
        self._weigh(path, "before" if path not in self._files else "after", file)
        return file

    def text_file(self, path: str) -> File:
        """The file at this path, to be edited as text; Refusal when it is
        binary or too large.
        """
        file = self.file(path)
        _check_size(path, len(file.data))
        if b"\0" in file.data:
            raise Refusal(
                "binary",
                path,
                f"{path} holds NUL bytes, so it is not edited as text",
                "Send the whole file as an upsert with contents_b64.",
            )
        if file.data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise Refusal(
                "encoding",
                path,
                f"{path} is in UTF-16, which is not edited as text",
                "Send the whole file as an upsert with contents_b64.",
            )
        return file

    def version(self, blob: str) -> bytes | None:
        """The text that git has under this id, maybe cut short; None when it
        has none that could be edited as one.
        """
        data = self._base.blob(blob) if _BLOB_ID.fullmatch(blob) and blob.strip("0") else None
        return None if data is None or len(data) > MAX_FILE_BYTES or b"\0" in data else data

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        """Git's own three-way merge."""
        return self._base.merge(base, ours, theirs)

    def write(self, path: str, file: File) -> None:
        """Create or overwrite a file."""
        self._check_parents(path)
        kind = self.kind(path)
        if kind is not None and kind not in _FILES:
            raise self._not_a_file(path, kind)
        _check_size(path, len(file.data))
        if kind is None:
            self._check_collisions(path)
        self._set(path, file)

    def create(self, path: str, file: File) -> None:
        """Write a file where nothing stands; Refusal `already_applied` when it
        stands there with the same bytes.
        """
        self._check_parents(path)
        kind = self.kind(path)
        if kind in _FILES and self.file(path).data == file.data:
            raise Refusal(
                "already_applied",
                path,
                f"{path} exists already with exactly these contents",
                "Leave this change out: it is already made.",
            )
        if kind is not None:
            raise Refusal(
                "exists",
                path,
                f"{path} exists already ({_WORDS[kind]})",
                "Read the existing file and change it, choose another path, or use an upsert to"
                " overwrite it.",
            )
        self.write(path, file)

    def delete(self, path: str) -> None:
        self.file(path)
        self._touch(path, None)
        self._origins.pop(path, None)

    def move(self, source: str, target: str) -> None:
        """Move a file to where nothing stands."""
        self.file(source)
        if source == target:
            raise Refusal(
                "no_op",
                source,
                f"{source} would be moved onto itself",
                "Leave the move out or name another target.",
            )
        self.put(target, self.take(source))

    def take(self, path: str) -> Taken:
        """Lift a file out of the tree, to be put elsewhere."""
        taken = Taken(self.file(path), self._origins.get(path, path))
        self.delete(path)
        return taken

    def put(self, target: str, taken: Taken) -> None:
        """Put a file that was taken where nothing stands."""
        self._check_free(target)
        self.write(target, taken.file)
        self._origins[target] = taken.origin

    def spoil(self, path: str, change: int) -> None:
        """From now on every use of this path raises Spoiled; the first change
        that failed on it is remembered.
        """
        self._spoiled.setdefault(path, change)

    def actions(self) -> tuple[FileAction, ...]:
        """What differs from the base, sorted by path."""
        found = []
        for path, after in sorted(self._files.items()):
            kind = self._base.kind(path)
            before = self._base_file(path, kind) if kind in _FILES else None
            if before != after:
                found.append(FileAction(path, before, after, self._origins.get(path)))
        gone = {action.path for action in found if action.after is None}
        return tuple(
            action if action.moved_from in gone else replace(action, moved_from=None)
            for action in found
        )

    def _touch(self, path: str, file: File | None) -> None:
        if path not in self._files and len(self._files) >= MAX_PATHS:
            raise _too_much(path, f"more than {MAX_PATHS} paths")
        self._weigh(path, "after", file)
        for parent in _parents(path):
            if path in self._files:
                (self._made if self._files[path] else self._gone)[parent] -= 1
            (self._made if file else self._gone)[parent] += 1
        self._files[path] = file

    def _weigh(self, path: str, side: str, file: File | None) -> None:
        size = len(file.data) if file else 0
        total = self._total_bytes + size - self._bytes.get((path, side), 0)
        if total > MAX_TOTAL_BYTES:
            raise _too_much(path, f"files of more than {MAX_TOTAL_BYTES} bytes, before and after")
        self._bytes[path, side], self._total_bytes = size, total

    def _set(self, path: str, file: File) -> None:
        self._touch(path, file)
        child = path
        while child:
            parent, _, name = child.rpartition("/")
            self._children[parent].add(name)
            if parent in self._folded:
                self._folded[parent][fold_path(name)].add(name)
            child = parent

    def _names(self, directory: str) -> Iterator[str]:
        """Names that stand in a directory or once stood there: ask `kind`
        before believing one.
        """
        return chain(self._base.names(directory), self._children.get(directory, ()))

    def _keeps_anything(self, directory: str) -> bool:
        """Whether anything of the base still stands in a directory where
        nothing was made.
        """
        if directory not in self._base_left:
            self._base_left[directory] = list(self._base.names(directory))
        left = self._base_left[directory]
        # What is found gone needs no second look: if it comes back, it is among
        # what was made.
        while left and not self.kind(f"{directory}/{left[-1]}"):
            left.pop()
        return bool(left)

    def _folding_like(self, parent: str, name: str) -> set[str]:
        if parent not in self._folded:
            self._folded[parent] = defaultdict(set)
            for sibling in self._names(parent):
                self._folded[parent][fold_path(sibling)].add(sibling)
        return self._folded[parent].get(fold_path(name), set())

    def _base_file(self, path: str, kind: EntryKind | None) -> File:
        mode: FileMode = "100755" if kind == "executable" else "100644"
        return File(self._base.read(path), mode)

    def _check_parents(self, path: str) -> None:
        if path in self._spoiled:
            raise Spoiled(path, self._spoiled[path])
        for parent in _parents(path):
            kind = self.kind(parent)
            if kind in ("symlink", "submodule"):
                raise Refusal(
                    "path_escape",
                    path,
                    f"{parent} is a {kind}, and nothing is written through one",
                    "Name the file by its real path inside this repository.",
                )
            if kind in _FILES:
                raise Refusal(
                    "not_a_file",
                    path,
                    f"{parent} is a file, so {path} cannot be inside it",
                    f"Choose a path that does not pass through {parent}, or delete that file"
                    " first.",
                )

    def _check_free(self, path: str) -> None:
        self._check_parents(path)
        if kind := self.kind(path):
            raise Refusal(
                "exists",
                path,
                f"{path} exists already ({_WORDS[kind]})",
                "Choose another target, or delete what stands there in an earlier change.",
            )

    def _check_collisions(self, path: str) -> None:
        """Refuse a new name that a case-folding file system takes for another,
        at every level of the path.
        """
        for level in (*_parents(path), path):
            parent, _, name = level.rpartition("/")
            alike = self._folding_like(parent, name)
            if name in alike and self.kind(level):
                continue
            prefix = parent + "/" if parent else ""
            for other in sorted(alike - {name}):
                if self.kind(prefix + other):
                    raise Refusal(
                        "exists",
                        path,
                        f"{level} and the existing {prefix + other} differ only in case or in"
                        " Unicode composition",
                        f"Use the existing name {prefix + other}, or a clearly different one.",
                    )

    def _missing(self, path: str) -> Refusal:
        parent, _, name = path.rpartition("/")
        prefix = parent + "/" if parent else ""
        similar = tuple(
            prefix + other
            for other in self._names_like(name, parent)
            if self.kind(prefix + other) in _FILES
        )
        where = "" if not parent or self.kind(parent) else f" (nor is there a folder {parent})"
        return Refusal(
            "missing_file",
            path,
            f"there is no file {path}{where}",
            (
                f"Did you mean {similar[0]}? Correct the path."
                if similar
                else "Correct the path, or create it first."
            ),
            similar,
        )

    def _names_like(self, name: str, parent: str) -> list[str]:
        self._left_suggestions -= 1
        if self._left_suggestions < 0:
            return []
        alike = process.extract(name, sorted(set(self._names(parent))), limit=5, score_cutoff=60)
        return [other for other, _, _ in alike]

    def _not_a_file(self, path: str, kind: EntryKind) -> Refusal:
        return Refusal(
            "not_a_file",
            path,
            f"{path} is {_WORDS[kind]}",
            "Name a regular file; links and folders are left alone.",
        )


_WORDS: dict[EntryKind, str] = {
    "file": "a file",
    "executable": "a file",
    "symlink": "a symbolic link",
    "submodule": "a submodule",
    "directory": "a directory",
}


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _check_size(path: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise Refusal(
            "too_large",
            path,
            f"{path} has {size} bytes; the limit for one file is {MAX_FILE_BYTES}",
            "Leave this file out, or split it.",
        )


def _too_much(path: str, what: str) -> Refusal:
    return Refusal(
        "limit",
        path,
        f"with {path} the patch touches {what}",
        "Send it as several patches, one after another.",
    )

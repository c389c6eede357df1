"""The changed files of a patch over the base tree: which paths exist, of which
kind, and under which names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from itertools import chain

from gpt_cursor_runner.formats.tree import EntryKind, File, FileAction, FileMode, Tree
from gpt_cursor_runner.patch.paths import fold_path

FILE_KINDS = ("file", "executable")


class Overlay:
    """The base tree with files written and deleted over it. It checks nothing.

    Questions about folders are answered from counters, not by a walk: a patch
    may touch thousands of paths in one folder.
    """

    def __init__(self, base: Tree) -> None:
        self.base = base
        self._files: dict[str, File | None] = {}
        self._origins: dict[str, str] = {}
        # Names that were written into each folder, some of them deleted since.
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._folded: dict[str, defaultdict[str, set[str]]] = {}
        # By folder, the number of touched paths below it that are files now,
        # and of those that are none.
        self._written_below: Counter[str] = Counter()
        self._deleted_below: Counter[str] = Counter()
        self._base_names_left: dict[str, list[str]] = {}

    @property
    def touched_count(self) -> int:
        return len(self._files)

    def is_touched(self, path: str) -> bool:
        return path in self._files

    def kind(self, path: str) -> EntryKind | None:
        """The kind of entry at this path now; None when there is none."""
        if file := self._files.get(path):
            return file.kind
        if path in self._files:
            return self._directory_kind(path, None)
        kind = self.base.kind(path)
        if kind in (None, "directory"):
            return self._directory_kind(path, kind)
        return kind

    def _directory_kind(self, path: str, base_kind: EntryKind | None) -> EntryKind | None:
        if self._written_below[path]:
            return "directory"
        # git has no empty folders.
        if base_kind and self._deleted_below[path] and not self._keeps_base_entry(path):
            return None
        return base_kind

    def read(self, path: str, kind: EntryKind) -> File:
        """The file at this path, which is of this kind."""
        return self._files.get(path) or self._base_file(path, kind)

    def origin(self, path: str) -> str:
        """The path in the base tree that the file at this path was moved from."""
        return self._origins.get(path, path)

    def write(self, path: str, file: File, *, origin: str | None = None) -> None:
        self._touch(path, file)
        if origin is not None:
            self._origins[path] = origin
        child = path
        while child:
            parent, _, name = child.rpartition("/")
            self._children[parent].add(name)
            if parent in self._folded:
                self._folded[parent][fold_path(name)].add(name)
            child = parent

    def delete(self, path: str) -> None:
        self._touch(path, None)
        self._origins.pop(path, None)

    def names(self, directory: str) -> Iterator[str]:
        """Names in a directory now or at an earlier time: `kind` has to confirm
        each of them.
        """
        return chain(self.base.names(directory), self._children.get(directory, ()))

    def colliding_path(self, path: str) -> str | None:
        """An existing path that a case-folding file system does not distinguish
        from this new one, by its last part; None when there is none.
        """
        parent, _, name = path.rpartition("/")
        names = self._names_folding_like(parent, name)
        if name in names and self.kind(path):
            return None
        siblings = in_directory(parent, sorted(names - {name}))
        return next(filter(self.kind, siblings), None)

    def actions(self) -> tuple[FileAction, ...]:
        """The differences from the base tree, sorted by path."""
        actions = self._changed_files()
        deleted = {action.path for action in actions if action.after is None}
        return tuple(_with_real_move(action, deleted) for action in actions)

    def _changed_files(self) -> list[FileAction]:
        actions: list[FileAction] = []
        for path, after in sorted(self._files.items()):
            kind = self.base.kind(path)
            before = self._base_file(path, kind) if kind in FILE_KINDS else None
            if before != after:
                actions.append(FileAction(path, before, after, self._origins.get(path)))
        return actions

    def _touch(self, path: str, file: File | None) -> None:
        for parent in parents(path):
            if path in self._files:
                self._counter_of(self._files[path])[parent] -= 1
            self._counter_of(file)[parent] += 1
        self._files[path] = file

    def _counter_of(self, file: File | None) -> Counter[str]:
        return self._deleted_below if file is None else self._written_below

    def _names_folding_like(self, directory: str, name: str) -> set[str]:
        # Folding every name of a folder for each new file would take quadratic
        # time, so the folded names are kept and extended by `write`.
        if directory not in self._folded:
            self._folded[directory] = defaultdict(set)
            for sibling in self.names(directory):
                self._folded[directory][fold_path(sibling)].add(sibling)
        return self._folded[directory].get(fold_path(name), set())

    def _keeps_base_entry(self, directory: str) -> bool:
        """Whether an entry of the base tree still exists in a directory in which
        no file was written.
        """
        if directory not in self._base_names_left:
            self._base_names_left[directory] = list(self.base.names(directory))
        names = self._base_names_left[directory]
        # A deleted entry needs no second look: if it is written again, it is
        # counted as written.
        while names and not self.kind(f"{directory}/{names[-1]}"):
            names.pop()
        return bool(names)

    def _base_file(self, path: str, kind: EntryKind | None) -> File:
        mode: FileMode = "100755" if kind == "executable" else "100644"
        return File(self.base.read(path), mode)


def _with_real_move(action: FileAction, deleted: Set[str]) -> FileAction:
    # A path that was moved away and written again is no source of a move.
    if action.moved_from in deleted:
        return action
    return replace(action, moved_from=None)


def parents(path: str) -> list[str]:
    """The directories above a path, the top one first."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def in_directory(directory: str, names: Iterable[str]) -> Iterator[str]:
    """The paths of these names in a directory ("" is the top)."""
    prefix = f"{directory}/" if directory else ""
    for name in names:
        yield prefix + name

"""The tree of one commit as the planner sees it (`formats/tree.py`)."""

from __future__ import annotations

import re
from collections.abc import Set

from gpt_cursor_runner.formats.tree import EntryKind, Merged
from gpt_cursor_runner.landing.merging import merge_texts
from gpt_cursor_runner.landing.objects import Objects, TreeEntry
from gpt_cursor_runner.patch.faults import Fault, PatchRefused

_BLOB_ID = re.compile(r"[0-9a-f]{7,64}")
# A file is planned in memory, with several copies of it; GitHub and GitLab
# refuse files beyond this size as well.
MAX_BLOB_BYTES = 100 << 20


class CommitTree:
    """Reads directories and files on demand. Paths are walked part by part, so
    a lookup costs the depth of the path, whatever the size of the repository.
    """

    def __init__(self, objects: Objects, tree_oid: str) -> None:
        self._objects = objects
        self._directories: dict[str, dict[str, TreeEntry]] = {"": self._load(tree_oid)}

    def kind(self, path: str) -> EntryKind | None:
        entry = self._entry(path)
        if entry is None:
            return None
        return entry.kind

    def read(self, path: str) -> bytes:
        """The bytes of a file; KeyError for anything else."""
        entry = self._entry(path)
        if entry is None or entry.kind not in ("file", "executable"):
            raise KeyError(path)
        size, chunks = self._objects.open(entry.oid)
        if size > MAX_BLOB_BYTES:
            raise PatchRefused([_too_large(path, size)])
        return b"".join(chunks)

    def names(self, directory: str) -> Set[str]:
        return self._directory(directory).keys()

    def blob(self, oid: str) -> bytes | None:
        """The bytes of a blob of this id, which may be abbreviated."""
        if not _BLOB_ID.fullmatch(oid):
            return None
        header = self._objects.info(oid)
        if header is None or header.kind != "blob" or header.size > MAX_BLOB_BYTES:
            return None
        # A ref may have a name that looks like the id.
        if not header.oid.startswith(oid):
            return None
        return self._objects.read(header.oid)

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        return merge_texts(self._objects.git, base, ours, theirs)

    def _entry(self, path: str) -> TreeEntry | None:
        parent, _, name = path.rpartition("/")
        return self._directory(parent).get(name)

    def _directory(self, path: str) -> dict[str, TreeEntry]:
        if path not in self._directories:
            entry = self._entry(path)
            entries: dict[str, TreeEntry] = {}
            if entry is not None and entry.kind == "directory":
                entries = self._load(entry.oid)
            self._directories[path] = entries
        return self._directories[path]

    def _load(self, oid: str) -> dict[str, TreeEntry]:
        return {entry.name: entry for entry in self._objects.tree(oid)}


def _too_large(path: str, size: int) -> Fault:
    return Fault(
        code="too_large",
        message=f"{path} has {size} bytes, and files beyond {MAX_BLOB_BYTES} bytes are not patched",
        next_step="Leave this file out of the patch.",
        path=path,
    )

"""An in-memory tree, and short calls of the planner for most tests."""

import hashlib
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.tree import EntryKind, File, FileAction, Merged, Plan
from gpt_cursor_runner.patch.faults import Closest, Fault, FirstDifference, PatchRefused
from gpt_cursor_runner.patch.model import ONE_CHANGE, Tolerance

Files = Mapping[str, bytes]


def blob_id(data: bytes) -> str:
    """The id that git gives a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class MemoryTree:
    """A tree of files; `others` has the kinds of entries that are no plain files.
    Directories follow from the paths.
    """

    def __init__(
        self,
        files: Files,
        others: Mapping[str, EntryKind] | None = None,
        blobs: Iterable[bytes] = (),
    ) -> None:
        self.files = dict(files)
        self.others = dict(others or {})
        self.blobs = {blob_id(data): data for data in [*files.values(), *blobs]}

    def kind(self, path: str) -> EntryKind | None:
        if path in self.others:
            return self.others[path]
        if path in self.files:
            return "file"
        return (
            "directory"
            if any(other.startswith(path + "/") for other in [*self.files, *self.others])
            else None
        )

    def read(self, path: str) -> bytes:
        return self.files[path]

    def blob(self, oid: str) -> bytes | None:
        blobs = [data for blob, data in self.blobs.items() if blob.startswith(oid)]
        return blobs[0] if len(blobs) == 1 else None

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        with tempfile.TemporaryDirectory() as place:
            for name, data in {"ours": ours, "base": base, "theirs": theirs}.items():
                Path(place, name).write_bytes(data)
            labels = ["-L", "the branch", "-L", "the base", "-L", "the patch"]
            command = ["git", "merge-file", "-p", *labels, "ours", "base", "theirs"]
            done = subprocess.run(command, cwd=place, capture_output=True)
        return Merged(done.stdout, done.returncode)

    def names(self, directory: str) -> Set[str]:
        start = directory + "/" if directory else ""
        paths = [path for path in [*self.files, *self.others] if path.startswith(start)]
        return {path[len(start) :].split("/")[0] for path in paths}


def plan(
    files: Files,
    *changes: dict[str, object],
    others: Mapping[str, EntryKind] | None = None,
    tolerance: Tolerance = "standard",
) -> Plan:
    parsed = [(index, ONE_CHANGE.validate_python(change)) for index, change in enumerate(changes)]
    return make_plan(parsed, MemoryTree(files, others), tolerance)


def outcome(
    files: Files,
    *changes: dict[str, object],
    others: Mapping[str, EntryKind] | None = None,
    tolerance: Tolerance = "standard",
) -> Files:
    """The files after the plan."""
    result = dict(files)
    for action in plan(files, *changes, others=others, tolerance=tolerance).actions:
        result.pop(action.path, None)
        if action.after:
            result[action.path] = action.after.data
    return result


def refusal(
    files: Files,
    *changes: dict[str, object],
    others: Mapping[str, EntryKind] | None = None,
    tolerance: Tolerance = "standard",
) -> PatchRefused:
    """The refusal of changes that must be refused."""
    try:
        made = plan(files, *changes, others=others, tolerance=tolerance)
    except PatchRefused as refused:
        return refused
    raise AssertionError(f"not refused, but planned: {made}")


def only_fault(
    files: Files,
    *changes: dict[str, object],
    others: Mapping[str, EntryKind] | None = None,
    tolerance: Tolerance = "standard",
) -> Fault:
    """The fault of a refusal that must have exactly one."""
    faults = refusal(files, *changes, others=others, tolerance=tolerance).faults
    assert len(faults) == 1, faults
    return faults[0]


def codes(refused: PatchRefused) -> list[str]:
    return [fault.code for fault in refused.faults]


def closest(fault: Fault) -> Closest:
    assert fault.closest
    return fault.closest


def difference(fault: Fault) -> FirstDifference:
    found = closest(fault).first_difference
    assert found
    return found


def before(action: FileAction) -> File:
    assert action.before
    return action.before


def after(action: FileAction) -> File:
    assert action.after
    return action.after


def upsert(path: str = "a.py", contents: str = "x\n", **more: object) -> dict[str, object]:
    return {"type": "upsert", "path": path, "contents": contents, **more}


def delete(path: str = "a.py", **more: object) -> dict[str, object]:
    return {"type": "delete", "path": path, **more}


def move(source: str = "a.py", target: str = "b.py") -> dict[str, object]:
    return {"type": "move", "from": source, "to": target}


def chmod(path: str = "a.py", mode: str = "755") -> dict[str, object]:
    return {"type": "chmod", "path": path, "mode": mode}


def str_replace(old: str, new: str, path: str = "a.py", **more: object) -> dict[str, object]:
    return {"type": "str_replace", "path": path, "old": old, "new": new, **more}


def insert(after_line: int, text: str, path: str = "a.py", **more: object) -> dict[str, object]:
    return {"type": "insert", "path": path, "after_line": after_line, "text": text, **more}


def regex(pattern: str, replacement: str, path: str = "a.py", **more: object) -> dict[str, object]:
    return {"type": "regex", "path": path, "pattern": pattern, "replacement": replacement, **more}


def diff(text: str, **more: object) -> dict[str, object]:
    return {"type": "unified_diff", "text": text, **more}


def hunks(*bodies: str, path: str = "a.py") -> dict[str, object]:
    """A git-style diff of one file from hunks with their `@@` lines."""
    return diff(f"--- a/{path}\n+++ b/{path}\n" + "".join(bodies))

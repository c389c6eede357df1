"""Random trees that resemble code, and the diffs that git makes of them."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from tests.formats.builders import MemoryTree, blob_id

Entry = tuple[bytes, str]  # contents and mode
Entries = Mapping[str, Entry]

_PATHS = [
    "a.py",
    "b.py",
    "d",
    "d/e.py",
    "src/a.py",
    "src/b c.txt",
    'src/w"e.txt',
    "ünï côdé.txt",
    "a/b.py",
    "b/b.py",
]
_REPEATED = [
    "a",
    "b",
    "",
    "    x = 1",
    "\ty",
    "}",
    "-- sql",
    "++ sum",
    "é",
    "x\ry",
    "@@ -1 +1 @@",
    "diff",
    " ",
]
_MODES = st.sampled_from(["100644", "100644", "100755"])


@st.composite
def contents(draw: st.DrawFn, *, unique: bool = False) -> bytes:
    """A text whose lines repeat (or, `unique`, do not), with one kind of line
    end; now and then bytes that are none.
    """
    if not unique and draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=40)) + b"\0" + bytes(range(256)) * draw(st.integers(0, 8))
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    size = draw(st.integers(0, 30))
    stamps: list[int] = draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
    lines = [f"line {at} of {stamp}" for at, stamp in enumerate(stamps)]
    if not unique:
        lines = [
            draw(st.sampled_from(_REPEATED)) if draw(st.booleans()) else line for line in lines
        ]
    ended = draw(st.integers(0, 3)) > 0
    return (end.join(lines) + (end if lines and ended else "")).encode()


@st.composite
def edited(draw: st.DrawFn, before: bytes, *, unique: bool = False) -> bytes:
    """A few lines of a text inserted, deleted, doubled or changed; in a `unique`
    text no line occurs twice.
    """
    if b"\0" in before:
        at = draw(st.integers(0, len(before)))
        return before[:at] + draw(st.binary(max_size=5)) + before[at + draw(st.integers(0, 3)) :]
    end = b"\r\n" if b"\r\n" in before else b"\n"
    lines = before.split(end)
    for number in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        how = draw(st.sampled_from(["insert", "delete", "change", *([] if unique else ["double"])]))
        if how == "insert":
            lines.insert(
                at, b"new %d" % number if unique else draw(st.sampled_from(_REPEATED)).encode()
            )
        elif how == "delete":
            del lines[at : at + 2]
        elif how == "double":
            lines[at:at] = lines[at : at + 2]
        elif lines:
            lines[at] = b"changed " + lines[at]
    return end.join(lines)


@st.composite
def two_trees(draw: st.DrawFn, *, unique: bool = False) -> tuple[Entries, Entries]:
    """A tree before and after some edits, moves, copies, deletions and changes of
    mode.
    """
    paths = draw(st.lists(st.sampled_from(_PATHS), min_size=1, max_size=5, unique=True))
    before = _without_clashes(
        {path: (draw(contents(unique=unique)), draw(_MODES)) for path in paths}
    )
    after = dict(before)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(sorted(after) or paths))
        other = draw(st.sampled_from(_PATHS))
        data, mode = after.get(path, (b"", "100644"))
        how = draw(
            st.sampled_from(
                ["edit", "edit", "edit", "move", "swap", "copy", "delete", "create", "chmod"]
            )
        )
        if how == "edit":
            after[path] = (draw(edited(data, unique=unique)), mode)
        elif how == "create":
            after[other] = (draw(contents(unique=unique)), draw(_MODES))
        elif how == "chmod":
            after[path] = (data, "100755" if mode == "100644" else "100644")
        elif how == "delete":
            after.pop(path, None)
        elif how == "swap" and other in after:
            after[path], after[other] = after[other], after[path]
        elif how in ("move", "copy"):
            after[other] = (data, mode)
            if how == "move" and other != path:
                after.pop(path, None)
    return before, _without_clashes(after)


def _without_clashes(entries: Entries) -> Entries:
    """The files without those at a path where another file needs a folder."""
    return {
        path: entry
        for path, entry in entries.items()
        if not any(o.startswith(path + "/") for o in entries)
    }


def memory(entries: Entries) -> MemoryTree:
    return MemoryTree(
        {path: data for path, (data, _) in entries.items()},
        {path: "executable" for path, (_, mode) in entries.items() if mode == "100755"},
    )


def ids(entries: Entries) -> dict[str, tuple[str, str]]:
    """Blob id and mode of each path, as `Scratch.applied` returns them."""
    return {path: (blob_id(data), mode) for path, (data, mode) in entries.items()}


@dataclass(frozen=True)
class Scratch:
    """A bare repository with a configuration of its own."""

    path: Path

    @staticmethod
    def create(path: Path) -> "Scratch":
        subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
        return Scratch(path)

    def git(
        self, *command: str, data: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        env = {
            "PATH": "/usr/bin:/bin",
            "GIT_INDEX_FILE": str(self.path / "scratch-index"),
            "HOME": str(self.path),
        }
        arguments = ["git", "-c", "core.quotePath=true", *command]
        return subprocess.run(
            arguments, cwd=self.path, input=data, env=env, capture_output=True, check=check
        )

    def diff(self, before: Entries, after: Entries, *flags: str) -> bytes:
        """The diff by `git diff` of two trees, stored as the branches `before` and
        `after`.
        """
        stream = b"".join(
            _commit(name, entries) for name, entries in (("before", before), ("after", after))
        )
        self.git("fast-import", "--quiet", "--force", data=stream)
        return self.git("diff", *flags, "before", "after").stdout

    def applied(self, diff: bytes, *flags: str) -> dict[str, tuple[str, str]] | None:
        """The result of `git apply` on `before`: blob id and mode of each path;
        None when git refuses the diff.
        """
        # git crashes on some damaged diffs, and then leaves its lock behind.
        Path(self.path, "scratch-index.lock").unlink(missing_ok=True)
        self.git("read-tree", "before")
        if self.git(
            "apply", "--cached", "--whitespace=nowarn", *flags, data=diff, check=False
        ).returncode:
            return None
        listed = self.git("ls-files", "-s", "-z").stdout.decode().split("\0")[:-1]
        pairs = [line.split("\t", 1) for line in listed]
        return {path: (facts.split()[1], facts.split()[0]) for facts, path in pairs}


def _commit(name: str, entries: Entries) -> bytes:
    """A branch of one commit, as fast-import reads it."""
    lines = [
        b"reset refs/heads/%s\ncommit refs/heads/%s\ncommitter x <x@x> 0 +0000\ndata 0\n"
        % ((name.encode(),) * 2)
    ]
    for path, (data, mode) in entries.items():
        quoted = path.replace("\\", "\\\\").replace('"', '\\"').encode()
        lines.append(b'M %s inline "%s"\ndata %d\n%s\n' % (mode.encode(), quoted, len(data), data))
    return b"".join(lines)

"""git's extended headers: the lines between `diff --git` and the first hunk."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from gpt_cursor_runner.formats.diff.files import NOBODY, FileDiff, Said
from gpt_cursor_runner.formats.diff.names import common_strip, parse_name
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_INDEX = re.compile(r"([0-9a-f]{1,64})\.\.([0-9a-f]{1,64})(?: (\d+))?\s*$")
_MODE = re.compile(r"[0-7]{6}\s*$")
_KINDS = {"100": "a file", "120": "a symbolic link", "160": "a submodule", "040": "a directory"}


def take_header(file: FileDiff, line: bytes, at: int) -> bool:
    """Take one extended header line, which is the line `at` of the text; False
    when it is none.
    """
    for start, take in _HEADERS.items():
        if line.startswith(start):
            take(file, line.removeprefix(start), at)
            return True
    return False


def disagreement(file: FileDiff, line: bytes) -> str | None:
    """What is wrong when a name does not agree with the line `diff --git`,
    which `line` is: one of them may be cut.
    """
    if file.said in ("rename", "copy"):
        if file.old.text is None or file.new.text is None:
            return f"the {file.said} does not name both files"
        whole = line.rstrip(b"\r\n")
        names = file.header and (
            file.header[0].endswith(file.old.text) and file.header[1].endswith(file.new.text)
        )
        ends = whole.endswith((file.new.text.encode("utf-8", "surrogateescape"), b'"'))
        return None if (names or (file.header is None and ends)) else _differs(whole)
    for name, of_git in zip(
        (file.old.text, file.new.text), file.header or (None, None), strict=True
    ):
        if name is not None and of_git is not None and not _agree(name, of_git):
            return _differs(line)
    return None


def _agree(one: str, other: str) -> bool:
    """Whether two names may be the same with different prefixes."""
    return (
        one == other
        or common_strip(one, other) is not None
        or one.endswith("/" + other)
        or other.endswith("/" + one)
    )


def _differs(line: bytes) -> str:
    return f"the names of the file are not those of its line '{show(line)}'"


def _mode(file: FileDiff, rest: bytes, at: int) -> str | None:
    """The mode as git keeps it, with a fault noted when no regular file has
    it.
    """
    mode = rest.decode("ascii", "replace").strip()
    if not _MODE.fullmatch(mode):
        step = "Send the whole diff; the modes of files are 100644 and 100755."
        file.faults.append(
            TextFault("malformed", f"'{mode[:20]}' is no mode of a file", step, at + 1)
        )
        return None
    if mode[:3] != "100":
        kind = _KINDS.get(mode[:3], "no regular file")
        step = "Only regular files are changed: leave this one out of the diff."
        fault = TextFault("not_a_file", f"the mode {mode} is that of {kind}", step, at + 1)
        if not any(known.code == "not_a_file" for known in file.faults):
            file.faults.append(fault)
        return None
    return "100755" if int(mode, 8) & 0o100 else "100644"


def _old_mode(file: FileDiff, rest: bytes, at: int) -> None:
    file.old_mode = _mode(file, rest, at)


def _new_mode(file: FileDiff, rest: bytes, at: int) -> None:
    file.new_mode = _mode(file, rest, at)


def _create(file: FileDiff, rest: bytes, at: int) -> None:
    file.said, file.old = "create", NOBODY
    _new_mode(file, rest, at)


def _delete(file: FileDiff, rest: bytes, at: int) -> None:
    file.said, file.new = "delete", NOBODY
    _old_mode(file, rest, at)


def _source(said: Said) -> Callable[[FileDiff, bytes, int], None]:
    def take(file: FileDiff, rest: bytes, _at: int) -> None:
        if file.said != said:
            file.said, file.new = said, NOBODY
        file.old = replace(parse_name(rest), at_epoch=False)

    return take


def _target(file: FileDiff, rest: bytes, _at: int) -> None:
    file.new = replace(parse_name(rest), at_epoch=False)


def _similarity(file: FileDiff, rest: bytes, _at: int) -> None:
    file.similarity = rest.decode("ascii", "replace").strip()


def _index(file: FileDiff, rest: bytes, at: int) -> None:
    found = _INDEX.match(rest.decode("ascii", "replace"))
    if found is None:
        return
    file.old_blob, file.new_blob = found[1], found[2]
    if found[3]:
        _mode(file, found[3].encode(), at)


_HEADERS: dict[bytes, Callable[[FileDiff, bytes, int], None]] = {
    b"old mode ": _old_mode,
    b"new mode ": _new_mode,
    b"new file mode ": _create,
    b"deleted file mode ": _delete,
    b"similarity index ": _similarity,
    b"dissimilarity index ": lambda *_: None,
    b"rename from ": _source("rename"),
    b"rename old ": _source("rename"),
    b"rename to ": _target,
    b"rename new ": _target,
    b"copy from ": _source("copy"),
    b"copy to ": _target,
    b"index ": _index,
}

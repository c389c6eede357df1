"""git's extended headers: the lines between `diff --git` and the first hunk."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from gpt_cursor_runner.formats.diff.files import NO_FILE, FileDiff, Operation
from gpt_cursor_runner.formats.diff.names import common_strip, parse_name
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_INDEX = re.compile(r"([0-9a-f]{1,64})\.\.([0-9a-f]{1,64})(?: (\d+))?\s*$")
_MODE = re.compile(r"[0-7]{6}\s*$")
_KINDS = {"120": "a symbolic link", "160": "a submodule", "040": "a directory"}


def parse_header_line(file: FileDiff, line: bytes, at: int) -> bool:
    """Store an extended header, line `at` of the text, in `file`. Returns False
    when the line is no such header.
    """
    for keyword, parse in _HEADERS.items():
        if line.startswith(keyword):
            parse(file, line.removeprefix(keyword), at)
            return True
    return False


def find_disagreement(file: FileDiff, git_line: bytes) -> str | None:
    """Return a message when a name in git's headers differs from the line `diff
    --git`: one of the two may be cut off.
    """
    if not file.is_git:
        return None
    if file.lacks_name:
        return f"the {file.operation} does not name both files"
    if _agrees_with_git_line(file, git_line):
        return None
    line = show(git_line)
    return f"the names in the headers of the file differ from those in its line '{line}'"


def _agrees_with_git_line(file: FileDiff, git_line: bytes) -> bool:
    if not file.has_two_paths:
        return _names_agree(file)
    old, new = file.two_names
    if file.git_names:
        return file.git_names[0].endswith(old) and file.git_names[1].endswith(new)
    # The line could not be split into two names. A quoted one is not compared.
    return git_line.rstrip(b"\r\n").endswith((new.encode("utf-8", "surrogateescape"), b'"'))


def _names_agree(file: FileDiff) -> bool:
    if file.git_names is None:
        return True
    pairs = ((file.old.text, file.git_names[0]), (file.new.text, file.git_names[1]))
    return all(name is None or _agree(name, git_name) for name, git_name in pairs)


def _agree(name: str, other: str) -> bool:
    """Whether two names may be the same with different prefixes."""
    if common_strip(name, other) is not None:
        return True
    return name.endswith("/" + other) or other.endswith("/" + name)


def _parse_mode(file: FileDiff, rest: bytes, at: int) -> str | None:
    """The mode as git stores it; None, with a fault, when no regular file can
    have it.
    """
    mode = rest.decode("ascii", "replace").strip()
    if not _MODE.fullmatch(mode):
        message = f"'{mode[:20]}' is not the mode of a file"
        step = "Send the complete diff; the modes of files are 100644 and 100755."
        file.faults.append(TextFault("malformed", message, step, at + 1))
        return None
    if not mode.startswith("100"):
        _refuse_kind(file, mode, at)
        return None
    if int(mode, 8) & 0o100:
        return "100755"
    return "100644"


def _refuse_kind(file: FileDiff, mode: str, at: int) -> None:
    # A diff repeats the mode in its index line: one fault for each file is enough.
    if any(fault.code == "not_a_file" for fault in file.faults):
        return
    kind = _KINDS.get(mode[:3], "no regular file")
    message = f"the mode {mode} is that of {kind}"
    step = "Leave this entry out of the diff: only regular files can be changed."
    file.faults.append(TextFault("not_a_file", message, step, at + 1))


def _old_mode(file: FileDiff, rest: bytes, at: int) -> None:
    file.old_mode = _parse_mode(file, rest, at)


def _new_mode(file: FileDiff, rest: bytes, at: int) -> None:
    file.new_mode = _parse_mode(file, rest, at)


# git writes both names into the line `diff --git`, also for a file that exists
# on one side only, so the other name is removed here.
def _new_file(file: FileDiff, rest: bytes, at: int) -> None:
    file.operation, file.old = "create", NO_FILE
    _new_mode(file, rest, at)


def _deleted_file(file: FileDiff, rest: bytes, at: int) -> None:
    file.operation, file.new = "delete", NO_FILE
    _old_mode(file, rest, at)


def _source_of(operation: Operation) -> Callable[[FileDiff, bytes, int], None]:
    def parse_source(file: FileDiff, rest: bytes, _at: int) -> None:
        # The names of the line `diff --git` have prefixes, those here have none.
        if file.operation != operation:
            file.operation, file.new = operation, NO_FILE
        file.old = replace(parse_name(rest), at_epoch=False)

    return parse_source


def _target(file: FileDiff, rest: bytes, _at: int) -> None:
    file.new = replace(parse_name(rest), at_epoch=False)


def _similarity(file: FileDiff, rest: bytes, _at: int) -> None:
    file.similarity = rest.decode("ascii", "replace").strip()


def _index(file: FileDiff, rest: bytes, at: int) -> None:
    match = _INDEX.match(rest.decode("ascii", "replace"))
    if match is None:
        return
    file.old_blob, file.new_blob = match[1], match[2]
    # The mode does not change here, but it shows a link or a submodule.
    if match[3]:
        _parse_mode(file, match[3].encode(), at)


def _ignore(_file: FileDiff, _rest: bytes, _at: int) -> None:
    pass


_HEADERS: dict[bytes, Callable[[FileDiff, bytes, int], None]] = {
    b"old mode ": _old_mode,
    b"new mode ": _new_mode,
    b"new file mode ": _new_file,
    b"deleted file mode ": _deleted_file,
    b"similarity index ": _similarity,
    b"dissimilarity index ": _ignore,
    # `rename old` and `rename new` are obsolete, but git's apply.c accepts them.
    b"rename from ": _source_of("rename"),
    b"rename old ": _source_of("rename"),
    b"rename to ": _target,
    b"rename new ": _target,
    b"copy from ": _source_of("copy"),
    b"copy to ": _target,
    b"index ": _index,
}

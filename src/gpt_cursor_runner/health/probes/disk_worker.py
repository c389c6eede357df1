"""Looks at disks. Run as a process of its own: `python -m
gpt_cursor_runner.health.probes.disk_worker`.

For every line on standard input, a question in JSON, it prints one line of
JSON; it ends with its input. It is a process because a call into a dead disk or
mount cannot be interrupted: a thread would keep the whole gateway, and with it
the port, in the kernel. Standard library only, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

_CODES = {
    errno.EROFS: "read_only",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.ENOENT: "missing",
    errno.ENOTDIR: "not_a_directory",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
}
# What a kernel or a file system says that knows no unnamed files.
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
# a whole block: some file systems keep smaller contents where there is room
# even on a full disk
_BLOCK = 4096


def main(questions: TextIO, answers: TextIO) -> None:
    """Answer until the questions end."""
    for line in questions:
        question = json.loads(line)
        answers.write(json.dumps(_LOOKS[question["look"]](question["at"])) + "\n")
        answers.flush()


def examine(directory: str) -> dict[str, Any]:
    """One real write and read, the room that is left, and which directory of
    which device it was.

    `code` is "writable" or says what was wrong; then the rest may be None.
    """
    place = None
    try:
        seen = os.stat(directory)  # noqa: PTH116
        place = [seen.st_dev, seen.st_ino]
        same = _write_and_read(directory)
        code, message, space = "writable" if same else "mismatch", "", _space(directory)
    except OSError as failed:
        code, message, space = _CODES.get(failed.errno or 0, "other"), str(failed), None
    return {"code": code, "message": message, "space": space, "place": place}


def find(paths: Sequence[str]) -> dict[str, list[int]]:
    """Of these files those that are there, each with what tells it from another
    one of the same name.
    """
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            seen = os.lstat(path)
            found[path] = [seen.st_dev, seen.st_ino, seen.st_mtime_ns]
    return found


_LOOKS: dict[str, Callable[[Any], dict[str, Any]]] = {"examine": examine, "find": find}


def _write_and_read(directory: str) -> bool:
    content = secrets.token_bytes(_BLOCK)
    file = _open_nameless(directory)
    try:
        os.write(file, content)
        os.fsync(file)
        return os.pread(file, _BLOCK, 0) == content
    finally:
        os.close(file)


def _open_nameless(directory: str) -> int:
    """A file without a name: whatever happens next, nothing is left behind."""
    flags = os.O_RDWR | os.O_CLOEXEC
    with contextlib.suppress(AttributeError):  # O_TMPFILE is Linux only
        try:
            return os.open(directory, flags | os.O_TMPFILE, 0o600)
        except OSError as refused:
            if refused.errno not in _NO_UNNAMED_FILES:
                raise
    path = os.path.join(directory, f".gcr-probe-{os.getpid()}-{secrets.token_hex(8)}")  # noqa: PTH118  os calls throughout
    file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)  # noqa: PTH108
    return file


def _space(directory: str) -> dict[str, int]:
    seen = os.statvfs(directory)
    unit = seen.f_frsize
    return {
        "total_bytes": seen.f_blocks * unit,
        "used_bytes": (seen.f_blocks - seen.f_bfree) * unit,
        "free_bytes": seen.f_bavail * unit,
        "total_inodes": seen.f_files,
        "free_inodes": seen.f_favail,
    }


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)

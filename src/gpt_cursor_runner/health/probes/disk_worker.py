"""A process that tests disks: `python -m
gpt_cursor_runner.health.probes.disk_worker`.

For every request, a line of JSON on standard input, it prints a line of JSON;
it exits at the end of its input. It is a process because a call into a dead disk
or mount cannot be interrupted: a thread would keep the gateway in the kernel,
and with it the port. It imports the standard library only, to start fast.
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
# The errors of open(O_TMPFILE): EOPNOTSUPP from a file system without support,
# EISDIR from a kernel before 3.11, EINVAL from some network file systems.
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
# A whole block: some file systems store smaller contents in the inode, which
# succeeds on a full disk.
_BLOCK_BYTES = 4096


def main(requests: TextIO, responses: TextIO) -> None:
    """Answer requests until the input ends."""
    for line in requests:
        request = json.loads(line)
        response = _COMMANDS[request["command"]](request["argument"])
        responses.write(json.dumps(response) + "\n")
        responses.flush()


def check_directory(directory: str) -> dict[str, Any]:
    """Write, sync and read back a file without a name.

    `code` is "writable" or names the error, and then `message` has its text;
    `space` and `place` (device and inode of the directory) may be None.
    """
    place = None
    try:
        status = os.stat(directory)  # noqa: PTH116
        place = [status.st_dev, status.st_ino]
        code = "mismatch"
        if _write_and_read(directory):
            code = "writable"
        return {"code": code, "message": "", "space": _space(directory), "place": place}
    except OSError as error:
        code = _CODES.get(error.errno or 0, "other")
        return {"code": code, "message": str(error), "space": None, "place": place}


def stat_files(paths: Sequence[str]) -> dict[str, list[int]]:
    """The existing ones of these files, each with device, inode and change
    time, which tell it from another file of the same name.
    """
    existing = {}
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            existing[path] = [status.st_dev, status.st_ino, status.st_mtime_ns]
    return existing


_COMMANDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "check_directory": check_directory,
    "stat_files": stat_files,
}


def _write_and_read(directory: str) -> bool:
    content = secrets.token_bytes(_BLOCK_BYTES)
    file = _open_unnamed(directory)
    try:
        os.write(file, content)
        os.fsync(file)
        return os.pread(file, _BLOCK_BYTES, 0) == content
    finally:
        os.close(file)


def _open_unnamed(directory: str) -> int:
    """A file without a name, which a kill at any moment does not leave behind."""
    flags = os.O_RDWR | os.O_CLOEXEC
    with contextlib.suppress(AttributeError):  # O_TMPFILE exists on Linux only
        try:
            return os.open(directory, flags | os.O_TMPFILE, 0o600)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
    path = os.path.join(directory, f".gcr-probe-{os.getpid()}-{secrets.token_hex(8)}")  # noqa: PTH118  os calls throughout
    file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)  # noqa: PTH108
    return file


def _space(directory: str) -> dict[str, int]:
    status = os.statvfs(directory)
    unit = status.f_frsize
    return {
        "total_bytes": status.f_blocks * unit,
        "used_bytes": (status.f_blocks - status.f_bfree) * unit,
        "free_bytes": status.f_bavail * unit,
        "total_inodes": status.f_files,
        "free_inodes": status.f_favail,
    }


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)

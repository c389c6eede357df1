"""The one path parser: every name of a file in a repository goes through
`parse_path`.

The rules are those of git's own `verify_path` with its HFS+ and NTFS
protections always on, and on top the names that some file system of a later
checkout could not hold or would fold into another.
"""

from __future__ import annotations

import re
import unicodedata

from gpt_cursor_runner.patch.faults import Fault, Refused

MAX_PATH_BYTES = 1024
# The longest file name of ext4, APFS and NTFS.
MAX_PART_BYTES = 255
MAX_DEPTH = 64

# Code points that HFS+ drops when it compares names, so that ".g\u200cit" opens
# ".git" (git: utf8.c, next_hfs_char).
_HFS_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
# Control characters (C0, DEL, C1) and the line and paragraph separators, all of
# which could break a line in git's output, a log or a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Windows opens a device under these names, whatever the extension; superscript
# digits count as digits there.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE
)
# NTFS may open .git under its short name (git: path.c, is_ntfs_dotgit).
_GIT_SHORT_NAME = re.compile(r"git~[0-9]+", re.IGNORECASE)


class UnsafePath(Refused, ValueError):
    """A path that no repository may hold; the message names the rule that it
    breaks.
    """

    def __init__(self, message: str) -> None:
        step = "Name a file inside the repository, like src/app.py."
        super().__init__(Fault("path_escape", message, step))


def parse_path(text: str) -> str:
    """Return the path in NFC, relative to the repository, with `/` between its
    parts; raise UnsafePath for any other path.
    """
    # First, so that the rules apply to the name that is written.
    path = unicodedata.normalize("NFC", text)
    _check_characters(path)
    _check_start(path)
    _check_length(path)
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        raise UnsafePath(f"the path is deeper than {MAX_DEPTH} folders")
    for part in parts:
        _check_part(part)
    return path


def _check_characters(path: str) -> None:
    if not path:
        raise UnsafePath("the path is empty")
    if _CONTROL.search(path):
        raise UnsafePath("the path holds a control character")
    if "\\" in path:
        raise UnsafePath("the path holds a backslash; use / between folders")


def _check_start(path: str) -> None:
    if path.startswith("/"):
        raise UnsafePath("the path is absolute; name it from the top of the repository")
    if re.match(r"[A-Za-z]:", path):
        raise UnsafePath("the path names a drive; name it from the top of the repository")


def _check_length(path: str) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath("the path holds half of a surrogate pair") from None
    if size > MAX_PATH_BYTES:
        raise UnsafePath(f"the path is longer than {MAX_PATH_BYTES} bytes")


def _check_part(part: str) -> None:
    if part == "":
        raise UnsafePath("the path has an empty part (a doubled or trailing slash)")
    if part in (".", ".."):
        raise UnsafePath(
            f"the path has the part '{part}'; it must stay inside the repository and name no folder"
            " twice"
        )
    if len(part.encode()) > MAX_PART_BYTES:
        raise UnsafePath(f"a part of the path is longer than {MAX_PART_BYTES} bytes")
    if _is_dot_git(part):
        raise UnsafePath("the path goes into .git, which no patch may touch")
    _check_portability(part)


def _check_portability(part: str) -> None:
    """Refuse a name that a later checkout on some other system cannot hold."""
    if part[-1] in ". ":
        raise UnsafePath(
            "a part of the path ends in a dot or a space, which some file systems drop"
        )
    if ":" in part:
        raise UnsafePath(
            "a part of the path holds a colon, which some file systems take for a stream"
        )
    if _RESERVED.fullmatch(part):
        raise UnsafePath(f"'{part}' is a device name on some systems")


def _is_dot_git(part: str) -> bool:
    """Whether some file system would open this name as `.git`."""
    name = unicodedata.normalize("NFKC", part.translate(_HFS_IGNORED)).casefold()
    # NTFS drops trailing dots and spaces, and opens a stream after a colon.
    name = name.split(":", 1)[0].rstrip(". ")
    return name == ".git" or bool(_GIT_SHORT_NAME.fullmatch(name))


def fold_path(path: str) -> str:
    """The form in which two paths collide on a file system that ignores case
    and composition.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())

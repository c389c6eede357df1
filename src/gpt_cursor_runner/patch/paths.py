"""The one path parser. Everything that names a file in a repository goes
through `parse_path`.

The rules are those of git's own `verify_path` with its HFS+ and NTFS
protections always on, and on top the names that some file system of a later
checkout could not hold or would fold into another.
"""

from __future__ import annotations

import re
import unicodedata

MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 255
MAX_DEPTH = 64

# Code points that HFS+ drops when it compares names, so that ".g\u200cit" opens
# ".git" (git: utf8.c, next_hfs_char).
_HFS_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
_RESERVED = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE
)
_GIT_SHORT_NAME = re.compile(r"git~[0-9]+", re.IGNORECASE)


class UnsafePath(ValueError):
    """A path that no repository of ours may hold; the message says which rule
    it breaks.
    """


def parse_path(text: str) -> str:
    """Return the path in NFC, relative to the repository, `/` between its
    parts; raise UnsafePath otherwise.
    """
    path = unicodedata.normalize("NFC", text)
    if not path:
        raise UnsafePath("the path is empty")
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029" for c in path):
        raise UnsafePath("the path holds a control character")
    if "\\" in path:
        raise UnsafePath("the path holds a backslash; use / between folders")
    if path.startswith("/"):
        raise UnsafePath("the path is absolute; name it from the top of the repository")
    if re.match(r"[A-Za-z]:", path):
        raise UnsafePath("the path names a drive; name it from the top of the repository")
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath("the path holds half of a surrogate pair") from None
    if size > MAX_PATH_BYTES:
        raise UnsafePath(f"the path is longer than {MAX_PATH_BYTES} bytes")
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        raise UnsafePath(f"the path is deeper than {MAX_DEPTH} folders")
    for part in parts:
        _check_part(part)
    return path


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
    """True for `.git` in any case and in any disguise that a file system would
    open as `.git`.
    """
    seen = unicodedata.normalize("NFKC", part.translate(_HFS_IGNORED)).casefold()
    seen = seen.split(":", 1)[0].rstrip(". ")
    return seen == ".git" or bool(_GIT_SHORT_NAME.fullmatch(seen))


def fold_path(path: str) -> str:
    """The form in which two paths collide on a file system that ignores case
    and composition.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())

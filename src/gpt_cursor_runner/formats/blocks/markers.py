"""The marker lines of search/replace blocks, in every dialect and with the slips
that leave no doubt.

aider and Roo write `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`; Cline writes
`------- SEARCH` and `+++++++ REPLACE`; early versions of aider wrote ORIGINAL
and UPDATED.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

CORRECT_FORM = (
    "Write a block as '<<<<<<< SEARCH', the lines of the file, '=======', the new lines, '>>>>>>>"
    " REPLACE'"
)
HOW_TO_ESCAPE = "put a backslash before a line of contents that looks like a marker"

Role = Literal["search", "divider", "replace", "malformed"]

_ROLES: tuple[tuple[Role, re.Pattern[bytes]], ...] = (
    ("search", re.compile(rb"(?P<signs><{5,9}|-{3,}) +(?:SEARCH|ORIGINAL)>?\s*$")),
    ("replace", re.compile(rb"(?P<signs>>{5,9}|\+{3,}) +(?:REPLACE|UPDATED)>?\s*$")),
    ("divider", re.compile(rb"(?P<signs>={5,})\s*$")),
    # Signs and a word, but in no form that a dialect has.
    (
        "malformed",
        re.compile(rb"(?P<signs>[<>=+-]{2,})\s*(?:SEARCH|REPLACE|ORIGINAL|UPDATED)[<>=+-]*\s*$"),
    ),
    # A conflict that git's merge left in the text.
    ("malformed", re.compile(rb"(?P<signs><{7}(?!<)|>{7}(?!>))")),
)
_SIGNS = frozenset((b"<", b">", b"=", b"-", b"+", b"&"))
_ENTITIES = {
    b"&lt;": b"<",
    b"&gt;": b">",
    b"&quot;": b'"',
    b"&#39;": b"'",
    b"&apos;": b"'",
    b"&amp;": b"&",
}
ENTITY = re.compile(b"|".join(_ENTITIES))
# A longer line is no marker; decoding it would cost time.
_MOST_ENCODED_BYTES = 200
_ESCAPED = (b"<<<<<<<", b">>>>>>>", b"=======", b"-------", b":start_line:", b":end_line:")


@dataclass(frozen=True)
class Marker:
    """One marker line. `indent` is the blanks before it, `signs` its run of
    signs. `encoded` is True for a marker in HTML entities.
    """

    role: Role
    indent: bytes
    signs: bytes
    blank_after: bool = False
    encoded: bool = False


def parse_marker(line: bytes) -> Marker | None:
    """Parse a line as a marker, well formed or not; None for any other line."""
    bare = line.lstrip(b" \t")
    if bare[:1] not in _SIGNS:
        return None
    plain = _plain_marker(bare)
    for role, pattern in _ROLES:
        if match := pattern.match(plain):
            indent = line[: len(line) - len(bare)]
            blank_after = bare.rstrip(b"\r\n")[-1:].isspace()
            # In `<<<<<<< SEARCH&gt;` the entity is a slip: the line itself is plain.
            encoded = plain != bare and not bare.startswith((b"<", b">"))
            return Marker(role, indent, match["signs"], blank_after, encoded)
    return None


def _plain_marker(bare: bytes) -> bytes:
    """A line without indent, decoded if it may be a marker in HTML entities."""
    if len(bare) >= _MOST_ENCODED_BYTES:
        return bare
    if bare.startswith(b"&") or b"&gt;" in bare[-12:]:
        return decode_entities(bare)
    return bare


def decode_entities(line: bytes) -> bytes:
    """Undo one pass of HTML or XML escaping."""
    if b"&" not in line:
        return line
    return ENTITY.sub(lambda match: _ENTITIES[match[0]], line)


def unescape(line: bytes) -> bytes:
    """Remove the backslash that keeps a line of contents from being parsed as a
    marker.
    """
    if line.startswith(b"\\") and _is_like_marker(line.lstrip(b"\\")):
        return line[1:]
    return line


def _is_like_marker(line: bytes) -> bool:
    if line.startswith(_ESCAPED):
        return True
    return line[:1] in _SIGNS and parse_marker(line) is not None

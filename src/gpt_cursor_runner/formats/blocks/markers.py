"""The lines that hold a search/replace block together, in every dialect and
with the slips that are beyond doubt.

aider and Roo write `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`; Cline writes
`------- SEARCH` and `+++++++ REPLACE`; aider's early words were ORIGINAL and
UPDATED.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Role = Literal["search", "divider", "replace", "spoiled"]

_ROLES: tuple[tuple[Role, re.Pattern[bytes]], ...] = (
    ("search", re.compile(rb"(?P<signs><{5,9}|-{3,}) +(?:SEARCH|ORIGINAL)>?\s*$")),
    ("replace", re.compile(rb"(?P<signs>>{5,9}|\+{3,}) +(?:REPLACE|UPDATED)>?\s*$")),
    ("divider", re.compile(rb"(?P<signs>={5,})\s*$")),
    # Meant as a marker or left by a merge of git, but no marker of any dialect.
    (
        "spoiled",
        re.compile(rb"(?P<signs>[<>=+-]{2,})\s*(?:SEARCH|REPLACE|ORIGINAL|UPDATED)[<>=+-]*\s*$"),
    ),
    ("spoiled", re.compile(rb"(?P<signs><{7}(?!<)|>{7}(?!>))")),
)
_SIGNS = b"<>=-+&"
_ENTITIES = {
    b"&lt;": b"<",
    b"&gt;": b">",
    b"&quot;": b'"',
    b"&#39;": b"'",
    b"&apos;": b"'",
    b"&amp;": b"&",
}
_ENTITY = re.compile(b"|".join(_ENTITIES))
_ESCAPED = (b"<<<<<<<", b">>>>>>>", b"=======", b"-------", b":start_line:", b":end_line:")


@dataclass(frozen=True)
class Marker:
    """One line read as a marker. `indent` is the blanks before it, `signs` what
    it is made of besides a word.
    """

    role: Role
    indent: bytes
    signs: bytes
    blank_after: bool = False
    encoded: bool = False


def parse_marker(line: bytes) -> Marker | None:
    """What part of a block the line marks, or looks as if it should mark; None
    for any other line.
    """
    bare = line.lstrip(b" \t")
    if bare[:1] not in _SIGNS or not bare:
        return None
    disguised = (bare.startswith(b"&") or b"&gt;" in bare[-12:]) and len(bare) < 200
    plain = decode_entities(bare) if disguised else bare
    encoded = disguised and not bare.startswith((b"<", b">"))  # `<<<<<<< SEARCH&gt;` is a mere slip
    blank_after = bare.rstrip(b"\r\n")[-1:].isspace()
    for role, pattern in _ROLES:
        if match := pattern.match(plain):
            return Marker(role, line[: len(line) - len(bare)], match["signs"], blank_after, encoded)
    return None


def decode_entities(line: bytes) -> bytes:
    """Undo the entities that whoever escapes a text for HTML or XML writes,
    once.
    """
    return _ENTITY.sub(lambda match: _ENTITIES[match[0]], line) if b"&" in line else line


def holds_entity(line: bytes) -> bool:
    return b"&" in line and bool(_ENTITY.search(line))


def unescape(line: bytes) -> bytes:
    """Drop the backslash that keeps a line of contents from being read as a
    marker.
    """
    if not line.startswith(b"\\"):
        return line
    bare = line.lstrip(b"\\")
    meant = bare.startswith(_ESCAPED) or (bare[:1] in _SIGNS and parse_marker(bare))
    return line[1:] if meant else line

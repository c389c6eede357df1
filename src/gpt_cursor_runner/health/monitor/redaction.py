"""Replaces secrets in text from outside: error messages, a command's output,
addresses.

Patterns cannot be exact, so they rather replace too much. Each of them begins at
a fixed text and looks ahead by a bounded length, which keeps the time in
proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

HIDDEN = "***"

_NAMES = (
    r"passw(?:or)?d|passphrase|passcode|pwd|(?:db|_)pass|secret|token|credentials?|cookie"
    r"|authorization|session[-_]?id"
    r"|(?:api|access|secret|private|signing|encryption|auth|account|shared)[-_ ]?key"
)
# A value in quotes ends at the same quote. Inside a quoted text that quote is
# escaped, up to three times.
_VALUE = (
    r"""(?:(?P<quote>\\{0,3}["'])(?:(?!(?P=quote))(?:\\.|[^\\])){0,4096}(?P=quote)"""
    r"""|(?:\\{0,3}["'])?[^\s,;&"'<>\\]+)"""
)
_NAMED = re.compile(
    rf"""(?P<before>(?:{_NAMES})[\w-]{{0,20}}(?:\\{{0,3}}["']|\])?"""
    r"""(?:\s{0,3}(?:=>|[:=])\s{0,3}|\s{1,3}(?=["'])))"""
    rf"(?P<scheme>(?:bearer|basic|digest|token|negotiate|apikey)\s{{1,3}})?{_VALUE}",
    re.IGNORECASE | re.DOTALL,
)
_OPTION = re.compile(rf"(?P<before>--?(?:[a-z]{{1,20}}-)?(?:{_NAMES})\s{{1,3}})\S+", re.IGNORECASE)
_SCHEME = re.compile(
    r"(?P<before>\b(?:bearer|basic)\s{1,3})(?=\S{0,200}[\d=+/_.-]|\S{20})[\w.~+/=-]{8,}",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"""(?P<before>://)[^\s/?#"'<>]{1,1024}@""")
_IN_ADDRESS = re.compile(r"""(?<![\w.*-])[\w.-]{1,64}:[^\s@/"']{1,256}@(?=[\w(\[])""")
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_MARKED = re.compile(
    r"(?<![A-Za-z0-9])(?:gcr_[A-Za-z0-9]+_|whsec_|gh[opsur]_|github_pat_|glpat-|xox[a-z]-|npm_|hf_|AKIA|AIza|eyJ|sk-(?=\S{20}))"
    r"[\w+/=.-]{8,}"
)
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+=-]{19,}")
_PIECES = re.compile(r"[-_+=]+")
_HEX_DIGITS = frozenset("0123456789abcdef")
_RANDOM_PIECE = 16
_RANDOM_CHANGES = 0.3
# The lengths of a commit id and of a SHA-256: names, not secrets.
_DIGEST_LENGTHS = (40, 64)


def redact(text: str) -> str:
    """The text with `***` for every secret that is recognized. Never raises; a
    second call changes nothing.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def names_a_secret(key: str) -> bool:
    """Whether the value of this key is not to be shown."""
    return _SECRET_KEY.search(key) is not None


_SECRET_KEY = re.compile(rf"(?:{_NAMES})$", re.IGNORECASE)


def _hide(_: re.Match[str]) -> str:
    return HIDDEN


def _hide_value(match: re.Match[str]) -> str:
    return match["before"] + HIDDEN


def _hide_named(match: re.Match[str]) -> str:
    quote = match["quote"] or ""
    return match["before"] + quote + HIDDEN + quote


def _hide_login(match: re.Match[str]) -> str:
    return f"{match.groupdict().get('before') or ''}{HIDDEN}@"


def _hide_random(match: re.Match[str]) -> str:
    if any(_is_random(piece) for piece in _PIECES.split(match[0])):
        return HIDDEN
    return match[0]


def _is_random(piece: str) -> bool:
    """Whether small letters, capitals and digits alternate as in a key: in words
    they seldom do, in random text at every second character.
    """
    if len(piece) < _RANDOM_PIECE or _is_digest(piece):
        return False
    kinds = [_kind(character) for character in piece]
    if "digit" not in kinds or len(set(kinds)) == 1:
        return False
    changes = sum(kind != next_kind for kind, next_kind in pairwise(kinds))
    return changes >= _RANDOM_CHANGES * (len(piece) - 1)


def _is_digest(piece: str) -> bool:
    return len(piece) in _DIGEST_LENGTHS and set(piece) <= _HEX_DIGITS


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    if character.isupper():
        return "capital"
    return "small"


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_KEY_BLOCK, _hide),
    (_IN_URL, _hide_login),
    (_NAMED, _hide_named),
    (_OPTION, _hide_value),
    (_SCHEME, _hide_value),
    (_IN_ADDRESS, _hide_login),
    (_MARKED, _hide),
    (_RUN, _hide_random),
)

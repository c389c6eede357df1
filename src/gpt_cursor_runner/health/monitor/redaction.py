"""Secrets taken out of text that others wrote: error messages, a command's
output, addresses.

A pattern can only know what secrets look like, so it errs on the side of taking
too much. Every pattern begins at something fixed and looks a bounded way ahead,
which keeps the time in proportion to the text.
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
# A value in quotes ends at the same quote, which may be an escaped one inside a
# quoted text.
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
_RANDOM_PIECE = 16
_RANDOM_CHANGES = 0.3
_DIGESTS = (40, 64)  # of git and of SHA-256: names of things, not secrets


def redact(text: str) -> str:
    """The text with `***` for every secret that shows itself; a second time
    changes nothing. Never raises.
    """
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def names_a_secret(key: str) -> bool:
    """Whether what stands under this key should not be shown, whatever it looks
    like.
    """
    return _SECRET_KEY.search(key) is not None


_SECRET_KEY = re.compile(rf"(?:{_NAMES})$", re.IGNORECASE)


def _hide(_: re.Match[str]) -> str:
    return HIDDEN


def _hide_value(found: re.Match[str]) -> str:
    return found["before"] + HIDDEN


def _hide_named(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return found["before"] + quote + HIDDEN + quote


def _hide_login(found: re.Match[str]) -> str:
    return f"{found.groupdict().get('before') or ''}{HIDDEN}@"


def _hide_random(found: re.Match[str]) -> str:
    return HIDDEN if any(_is_random(piece) for piece in _PIECES.split(found[0])) else found[0]


def _is_random(piece: str) -> bool:
    """Words change between small, large and digits seldom, keys at every second
    character.
    """
    is_digest = len(piece) in _DIGESTS and all(letter in "0123456789abcdef" for letter in piece)
    if len(piece) < _RANDOM_PIECE or is_digest:
        return False
    kinds = ["d" if letter.isdigit() else "u" if letter.isupper() else "l" for letter in piece]
    changes = sum(one != next_one for one, next_one in pairwise(kinds))
    return len(set(kinds)) > 1 and "d" in kinds and changes >= _RANDOM_CHANGES * (len(piece) - 1)


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

"""Keys by which two lines are compared, from the strictest rung to the most
lenient. Keys are never written to a file.
"""

from __future__ import annotations

import unicodedata

BOM = b"\xef\xbb\xbf"
BLANKS = b" \t"

# Characters that a model or an editor writes instead of a plainer one.
# Zero-width ones vanish.
_LOOKALIKES = str.maketrans(
    dict.fromkeys("‘’‚‛′ʼ´＇", "'")
    | dict.fromkeys("“”„‟″＂«»", '"')
    | dict.fromkeys("‐‑‒–—―−﹣－", "-")
    | dict.fromkeys(
        "\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " "
    )
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad")
    | {"…": "..."}
)


def trimmed(line: bytes) -> bytes:
    """Return the line without line end, trailing blanks and byte order mark."""
    return line.removeprefix(BOM).rstrip()


def folded(line: bytes) -> bytes:
    """Return the trimmed line with a plain character for every look-alike."""
    plain = line.removeprefix(BOM).rstrip()
    if plain.isascii():
        return plain
    return _folded(plain).rstrip()


def core(line: bytes) -> bytes:
    """Return the folded line without its indent."""
    plain = line.strip()
    if plain.isascii():
        return plain
    return _folded(plain).strip()


def collapsed(line: bytes) -> bytes:
    """Return the trimmed line with one space for every run of blanks, as `git
    apply --ignore-whitespace` compares lines.
    """
    words = b" ".join(line.removeprefix(BOM).split())
    if words and line[:1].isspace():
        return b" " + words
    return words


def indent(line: bytes) -> bytes:
    """Return the blanks at the start of a line, special spaces as plain ones; a
    byte order mark is not part of it.
    """
    plain = line.removeprefix(BOM)
    ascii_end = len(plain) - len(plain.lstrip(BLANKS))
    if plain[ascii_end : ascii_end + 1].isascii():
        return plain[:ascii_end]
    folded_line = _folded(plain)
    return folded_line[: len(folded_line) - len(folded_line.lstrip(BLANKS))]


def _folded(line: bytes) -> bytes:
    # Undecodable bytes survive as lone surrogates, so that they equal
    # themselves and nothing else.
    text = unicodedata.normalize("NFC", line.decode("utf-8", "surrogateescape"))
    return text.translate(_LOOKALIKES).encode("utf-8", "surrogateescape")

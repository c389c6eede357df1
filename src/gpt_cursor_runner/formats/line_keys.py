"""What two lines are compared by, from the strictest rung to the most lenient.
Keys are for comparing only.
"""

from __future__ import annotations

import unicodedata

BOM = b"\xef\xbb\xbf"
BLANKS = b" \t"

# Characters that a model or an editor puts for a plainer one. Zero-width ones
# vanish.
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
    """Without its line end, the blanks before it, and a byte order mark."""
    return line.removeprefix(BOM).rstrip()


def folded(line: bytes) -> bytes:
    """Trimmed, and every look-alike by its plain character."""
    plain = line.removeprefix(BOM).rstrip()
    return plain if plain.isascii() else _folded(plain).rstrip()


def core(line: bytes) -> bytes:
    """Folded, and without its indent."""
    plain = line.strip()
    return plain if plain.isascii() else _folded(plain).strip()


def squeezed(line: bytes) -> bytes:
    """Trimmed, and every run of blanks as one: what `git apply
    --ignore-whitespace` compares.
    """
    words = b" ".join(line.removeprefix(BOM).split())
    return b" " + words if line[:1].isspace() and words else words


def indent(line: bytes) -> bytes:
    """The blanks a line starts with, odd spaces as plain ones; a byte order
    mark is none.
    """
    plain = line.removeprefix(BOM)
    ascii_end = len(plain) - len(plain.lstrip(BLANKS))
    if plain[ascii_end : ascii_end + 1].isascii():
        return plain[:ascii_end]
    seen = _folded(plain)
    return seen[: len(seen) - len(seen.lstrip(BLANKS))]


def _folded(line: bytes) -> bytes:
    # Undecodable bytes survive as lone surrogates, so that they equal
    # themselves and nothing else.
    text = unicodedata.normalize("NFC", line.decode("utf-8", "surrogateescape"))
    return text.translate(_LOOKALIKES).encode("utf-8", "surrogateescape")

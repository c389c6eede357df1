"""Patch ids: their grammar, and the commit subject that follows from one."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._()+-]{0,127}")
_GRAMMAR = re.compile(
    r"patch-v(?P<version>[0-9][A-Za-z0-9.+-]*)\((?P<phase>[A-Za-z0-9.+-]+)\)_(?P<slug>[A-Za-z0-9._()+-]+)"
)


@dataclass(frozen=True)
class PatchId:
    """A legal id; `version`, `phase` and `slug` are set when it follows
    `patch-v<version>(<phase>)_<slug>`.
    """

    text: str
    version: str | None = None
    phase: str | None = None
    slug: str | None = None

    @classmethod
    def parse(cls, text: str) -> PatchId:
        """Raise ValueError, with a message for the sender, unless `text` is a
        legal id and a legal part of a git ref.
        """
        if not _LEGAL.fullmatch(text):
            raise ValueError(
                "an id is 1 to 128 of A-Z a-z 0-9 . _ ( ) + - and starts with a letter or a digit"
            )
        # These are illegal in the name of a ref (git check-ref-format).
        if ".." in text or text.endswith((".", ".lock")):
            raise ValueError(
                "an id may not hold '..' nor end in '.' or '.lock', since it becomes a git tag"
            )
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            return cls(text)
        return cls(text, **match.groupdict())

    def subject(self, title: str) -> str:
        """The first line of the commit."""
        if self.slug:
            return f"[PATCH {self.phase}] {self.slug} — {title}"
        return f"[PATCH] {self.text} — {title}"

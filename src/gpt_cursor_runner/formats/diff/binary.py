"""git's binary patches: new bytes in full (`literal`) or as copies from the old
(`delta`), deflated, in base 85.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b85decode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES, Patience
from gpt_cursor_runner.formats.sections import TextFault

_PART = re.compile(rb"(literal|delta) (\d{1,9})\s*$")
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LENGTHS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # of a line, from 1 to 52 bytes
_INSTRUCTION_COST = 4  # what a byte of a delta costs, in bytes of plain text that take as long


@dataclass(frozen=True)
class Part:
    """One direction of a binary patch; `size` is that of `deflated` once
    inflated.
    """

    is_delta: bool
    size: int
    deflated: bytes

    def make(self, before: bytes, budget: Budget) -> bytes:
        """The new bytes; ValueError when they cannot be made from `before` or
        would be too many.
        """
        _spend(self.size * (_INSTRUCTION_COST if self.is_delta else 1), budget)
        data = self.inflated()
        return _follow(data, before, budget) if self.is_delta else data

    def inflated(self) -> bytes:
        inflating = zlib.decompressobj()
        try:
            data = inflating.decompress(self.deflated, self.size + 1)
        except zlib.error:
            data = b""
        if len(data) != self.size or not inflating.eof or inflating.unused_data:
            raise ValueError(
                "its binary part is damaged or cut off: it does not unfold to the size it announces"
            )
        return data


@dataclass(frozen=True)
class BinaryPatch:
    """A binary patch of one file, good for that version alone whose blob id is
    `old`; it must give the blob `new`.
    """

    part: Part
    old: str
    new: str
    budget: Budget

    def apply(self, before: bytes) -> bytes:
        """What `before` becomes; ValueError when it was not made for `before`,
        or is not what its ids say.
        """
        if not (_FULL_ID.fullmatch(self.old) and _FULL_ID.fullmatch(self.new)):
            raise ValueError("a binary patch needs an index line with both blob ids in full")
        if not _is_blob(self.old, before):
            raise ValueError(
                "the binary patch was made for another version than the one that stands here"
            )
        after = self.part.make(before, self.budget)
        if not _is_blob(self.new, after):
            raise ValueError(
                "the binary patch does not give the blob that its index line announces"
            )
        return after


@dataclass(frozen=True)
class ParsedBinary:
    """What stands after `GIT binary patch`; the way back is not always sent.
    `end` is where reading goes on.
    """

    forward: Part | None
    backward: Part | None
    faults: list[TextFault]
    end: int


def parse_binary(lines: Sequence[bytes], at: int) -> ParsedBinary:
    """Read the parts after the line `GIT binary patch`, which is `lines[at]`."""
    parts, at_part = list[Part](), at + 1
    while at_part < len(lines) and len(parts) < 2 and (head := _PART.match(lines[at_part])):
        # A blank line ends a part. One without is the end of the text, so it
        # may be cut: unfolding it tells.
        end = next(
            (line for line in range(at_part, len(lines)) if not lines[line].strip()), len(lines)
        )
        try:
            part = Part(
                head[1] == b"delta", int(head[2]), b"".join(map(_decoded, lines[at_part + 1 : end]))
            )
            if not part.deflated:
                raise ValueError("the binary part has no lines")
            if end == len(lines) and part.size <= MAX_FILE_BYTES:
                part.inflated()
        except ValueError as bad:
            return ParsedBinary(
                None, None, [_fault(str(bad), at_part, cut_off=end == len(lines))], end
            )
        parts.append(part)
        at_part = end + 1
    if not parts:
        message = "after 'GIT binary patch' comes neither 'literal' nor 'delta'"
        return ParsedBinary(
            None, None, [_fault(message, at, cut_off=at_part >= len(lines))], at_part
        )
    return ParsedBinary(parts[0], parts[1] if len(parts) > 1 else None, [], at_part)


def _decoded(line: bytes) -> bytes:
    text = line.rstrip(b"\r\n")
    size = _LENGTHS.find(text[:1]) + 1
    if not text or not size or len(text) != 1 + (size + 3) // 4 * 5:
        raise ValueError("a line of the binary part is damaged or cut off")
    return b85decode(text[1:])[:size]


def _fault(message: str, at: int, *, cut_off: bool) -> TextFault:
    step = (
        "Send the binary patch as `git diff --binary` wrote it, or the file as an upsert with"
        " contents_b64."
    )
    return TextFault("truncated" if cut_off else "malformed", message, step, at + 1)


def _is_blob(oid: str, data: bytes) -> bool:
    if not oid.strip("0"):
        return not data  # there is no file on this side
    known = hashlib.sha1 if len(oid) == 40 else hashlib.sha256
    return known(b"blob %d\0" % len(data) + data).hexdigest() == oid


def _spend(size: int, budget: Budget) -> None:
    if size > MAX_FILE_BYTES or size > budget.bytes_left:
        raise ValueError(
            f"the binary patch unfolds to more than the {MAX_FILE_BYTES} bytes that one file may"
            " have"
        )
    budget.bytes_left -= size


def _follow(delta: bytes, before: bytes, budget: Budget) -> bytes:
    """Follow the instructions of a delta, as git's patch-delta.c does."""
    try:
        old_size, at = _number(delta, 0)
        new_size, at = _number(delta, at)
        _spend(new_size, budget)
        after = bytearray()
        while at < len(delta) and len(after) <= new_size:
            start, size, at, source = _instruction(delta, at, before)
            if start + size > len(source):
                raise ValueError("the delta copies from beyond the end of what it has")
            after += source[start : start + size]
    except IndexError:
        raise ValueError("the delta ends in the middle of an instruction") from None
    if (len(before), len(after)) != (old_size, new_size):
        raise ValueError("the delta does not fit the sizes that it announces")
    return bytes(after)


def _instruction(delta: bytes, at: int, before: bytes) -> tuple[int, int, int, bytes]:
    """What to add next: offset and size of the bytes, where the next
    instruction is, and what they are taken from.
    """
    code = delta[at]
    if code == 0:
        raise ValueError("the delta has an instruction that means nothing")
    at += 1
    if code < 0x80:
        return at, code, at + code, delta
    start = size = 0
    for bit in range(4):
        if code & 1 << bit:
            start |= delta[at] << 8 * bit
            at += 1
    for bit in range(3):
        if code & 0x10 << bit:
            size |= delta[at] << 8 * bit
            at += 1
    return start, size or 0x10000, at, before


def _number(delta: bytes, at: int) -> tuple[int, int]:
    """A number in seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for shift in count(0, 7):
        byte = delta[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 63:
            break
    return value, at

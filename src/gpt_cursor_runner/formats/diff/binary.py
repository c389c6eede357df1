"""git's binary patches: new bytes in full (`literal`) or as copies from the old
bytes (`delta`), deflated, in base 85.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b85decode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES, Budget
from gpt_cursor_runner.formats.sections import TextFault

_PART = re.compile(rb"(literal|delta) (\d{1,9})\s*$")
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The first letter of a line is its length, from 1 to 52 bytes.
_LENGTHS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Following a byte of a delta takes as long as copying this many plain bytes.
_INSTRUCTION_COST = 4


@dataclass(frozen=True)
class BinaryPart:
    """One direction of a binary patch; `size` is that of `deflated` after
    inflating.
    """

    is_delta: bool
    size: int
    deflated: bytes

    def make(self, before: bytes, budget: Budget) -> bytes:
        """Return the new bytes; ValueError when `before` does not fit or the
        result would be too large.
        """
        if not self.is_delta:
            _spend(self.size, budget)
            return self.inflated()
        _spend(self.size * _INSTRUCTION_COST, budget)
        return _apply_delta(self.inflated(), before, budget)

    def inflated(self) -> bytes:
        decompressor = zlib.decompressobj()
        try:
            # One byte more than announced, so that a longer stream is noticed
            # without inflating all of it.
            data = decompressor.decompress(self.deflated, self.size + 1)
        except zlib.error:
            data = b""
        is_exact = len(data) == self.size and decompressor.eof and not decompressor.unused_data
        if not is_exact:
            raise ValueError(
                "its binary part is damaged or cut off: it does not inflate to the announced size"
            )
        return data


@dataclass(frozen=True)
class BinaryPatch:
    """A binary patch of one file. It applies only to the blob `old` and must
    result in the blob `new`.
    """

    part: BinaryPart
    old: str
    new: str
    budget: Budget

    def apply(self, before: bytes) -> bytes:
        """Return the new contents; ValueError when `before` or the result is
        another blob than its ids name.
        """
        if not (_FULL_ID.fullmatch(self.old) and _FULL_ID.fullmatch(self.new)):
            raise ValueError("a binary patch needs an index line with both blob ids in full")
        if not _is_blob(self.old, before):
            raise ValueError("the binary patch was made for another version of the file")
        after = self.part.make(before, self.budget)
        if not _is_blob(self.new, after):
            raise ValueError(
                "the binary patch does not result in the blob that its index line names"
            )
        return after


@dataclass(frozen=True)
class ParsedBinary:
    """The parts after `GIT binary patch`; the backward one is optional. Parsing
    goes on at line `end`.
    """

    forward: BinaryPart | None
    backward: BinaryPart | None
    faults: list[TextFault]
    end: int


def parse_binary(lines: Sequence[bytes], at: int) -> ParsedBinary:
    """Parse the parts after the line `GIT binary patch`, which is `lines[at]`."""
    parts: list[BinaryPart] = []
    part_at = at + 1
    while part_at < len(lines) and len(parts) < 2:
        header = _PART.match(lines[part_at])
        if header is None:
            break
        # A blank line ends a part. A part that ends with the text may be cut off.
        end = _blank_line(lines, part_at)
        cut_off = end == len(lines)
        is_delta, size = header[1] == b"delta", int(header[2])
        try:
            part = _parse_part(is_delta, size, lines[part_at + 1 : end], check=cut_off)
        except ValueError as error:
            fault = _fault(str(error), part_at, cut_off=cut_off)
            return ParsedBinary(None, None, [fault], end)
        parts.append(part)
        part_at = end + 1
    if not parts:
        message = "neither 'literal' nor 'delta' follows 'GIT binary patch'"
        fault = _fault(message, at, cut_off=part_at >= len(lines))
        return ParsedBinary(None, None, [fault], part_at)
    backward = parts[1] if len(parts) > 1 else None
    return ParsedBinary(parts[0], backward, [], part_at)


def _blank_line(lines: Sequence[bytes], start: int) -> int:
    for at in range(start, len(lines)):
        if not lines[at].strip():
            return at
    return len(lines)


def _parse_part(is_delta: bool, size: int, lines: Sequence[bytes], *, check: bool) -> BinaryPart:
    part = BinaryPart(is_delta, size, b"".join(map(_decode_line, lines)))
    if not part.deflated:
        raise ValueError("the binary part has no lines")
    if check and part.size <= MAX_FILE_BYTES:
        part.inflated()
    return part


def _decode_line(line: bytes) -> bytes:
    text = line.rstrip(b"\r\n")
    size = _LENGTHS.find(text[:1]) + 1
    # Five characters for each four bytes, the last ones padded.
    if not text or not size or len(text) != 1 + (size + 3) // 4 * 5:
        raise ValueError("a line of the binary part is damaged or cut off")
    return b85decode(text[1:])[:size]


def _fault(message: str, at: int, *, cut_off: bool) -> TextFault:
    step = (
        "Send the binary patch as `git diff --binary` wrote it, or the file as an upsert with"
        " contents_b64."
    )
    return TextFault("truncated" if cut_off else "malformed", message, step, at + 1)


def _is_blob(blob: str, data: bytes) -> bool:
    if not blob.strip("0"):
        return not data  # there is no file on this side
    algorithm = hashlib.sha1 if len(blob) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(data) + data).hexdigest() == blob


def _spend(size: int, budget: Budget) -> None:
    if size > MAX_FILE_BYTES or size > budget.bytes_left:
        raise ValueError(
            f"the binary patch inflates to more than the {MAX_FILE_BYTES} bytes that one file may"
            " have"
        )
    budget.bytes_left -= size


def _apply_delta(delta: bytes, before: bytes, budget: Budget) -> bytes:
    """Follow the instructions of a delta, as git's patch-delta.c does."""
    try:
        old_size, at = _parse_size(delta, 0)
        new_size, at = _parse_size(delta, at)
        _spend(new_size, budget)
        after = bytearray()
        while at < len(delta) and len(after) <= new_size:
            start, size, at, source = _parse_instruction(delta, at, before)
            if start + size > len(source):
                raise ValueError("the delta copies from beyond the end of its source")
            after += source[start : start + size]
    except IndexError:
        raise ValueError("the delta ends in the middle of an instruction") from None
    if (len(before), len(after)) != (old_size, new_size):
        raise ValueError("the delta does not fit the sizes that it announces")
    return bytes(after)


def _parse_instruction(delta: bytes, at: int, before: bytes) -> tuple[int, int, int, bytes]:
    """The next bytes to append: their offset, their size, the offset of the next
    instruction, and the source that they are copied from.
    """
    code = delta[at]
    if code == 0:
        raise ValueError("the delta has the undefined instruction 0")
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


def _parse_size(delta: bytes, at: int) -> tuple[int, int]:
    """A number in seven bits a byte, the lowest first, and the offset after it."""
    value = 0
    for shift in count(0, 7):
        byte = delta[at]
        at += 1
        value |= (byte & 0x7F) << shift
        # Sizes of git have at most 64 bits.
        if byte < 0x80 or shift > 63:
            break
    return value, at

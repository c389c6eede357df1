"""git's binary patches: new bytes in full (`literal`) or as copies from the old
bytes (`delta`), deflated, in base 85.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b85decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES, Budget
from gpt_cursor_runner.formats.sections import TextFault

_PART = re.compile(rb"(literal|delta) (\d{1,9})\s*$")
_FULL_IDS = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\.\.(?:[0-9a-f]{40}|[0-9a-f]{64})")
_ALGORITHMS = {40: hashlib.sha1, 64: hashlib.sha256}  # by the length of a full id
# The first letter of a line is its length, from 1 to 52 bytes.
_LENGTHS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Following a byte of a delta takes as long as copying this many plain bytes.
_INSTRUCTION_COST = 4
_MOST_PARTS = 2  # one for each direction
_DEFAULT_COPY_SIZE = 0x10000  # of a copy without bytes for its size
_SIZE_SHIFTS = range(0, 71, 7)  # sizes of git have at most 64 bits


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
        outcome = (len(data), decompressor.eof, decompressor.unused_data)
        if outcome != (self.size, True, b""):
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
        if not _FULL_IDS.fullmatch(f"{self.old}..{self.new}"):
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

    end: int
    forward: BinaryPart | None = None
    backward: BinaryPart | None = None
    faults: tuple[TextFault, ...] = field(default=(), kw_only=True)


def parse_binary(lines: Sequence[bytes], at: int) -> ParsedBinary:
    """Parse the parts after the line `GIT binary patch`, which is `lines[at]`."""
    parts: list[BinaryPart] = []
    end = at + 1
    for header, rows in islice(_find_parts(lines, end), _MOST_PARTS):
        try:
            parts.append(_parse_part(header, lines, rows))
        except ValueError as error:
            return _refused(str(error), lines, rows.start - 1, rows.stop)
        end = rows.stop + 1
    if not parts:
        message = "neither 'literal' nor 'delta' follows 'GIT binary patch'"
        return _refused(message, lines, at, end)
    return ParsedBinary(end, *parts)


def _find_parts(lines: Sequence[bytes], start: int) -> Iterator[tuple[re.Match[bytes], range]]:
    """The header of each part, and the rows of the lines below it."""
    while start < len(lines) and (header := _PART.match(lines[start])):
        end = _blank_line(lines, start)
        yield header, range(start + 1, end)
        start = end + 1


def _blank_line(lines: Sequence[bytes], start: int) -> int:
    for at in range(start, len(lines)):
        if not lines[at].strip():
            return at
    return len(lines)


def _parse_part(header: re.Match[bytes], lines: Sequence[bytes], rows: range) -> BinaryPart:
    deflated = b"".join(map(_decode_line, lines[rows.start : rows.stop]))
    if not deflated:
        raise ValueError("the binary part has no lines")
    part = BinaryPart(header[1] == b"delta", int(header[2]), deflated)
    # A blank line ends a part. A part that ends with the text may be cut off.
    if rows.stop == len(lines) and part.size <= MAX_FILE_BYTES:
        part.inflated()
    return part


def _decode_line(line: bytes) -> bytes:
    text = line.rstrip(b"\r\n")
    size = _LENGTHS.find(text[:1]) + 1
    # Five characters for each four bytes, the last ones padded.
    if size == 0 or len(text) != 1 + (size + 3) // 4 * 5:
        raise ValueError("a line of the binary part is damaged or cut off")
    return b85decode(text[1:])[:size]


def _refused(message: str, lines: Sequence[bytes], at: int, end: int) -> ParsedBinary:
    """The refusal of the part at line `at`, which reaches to line `end`."""
    code = "malformed"
    if end >= len(lines):
        code = "truncated"
    step = (
        "Send the binary patch as `git diff --binary` wrote it, or the file as an upsert with"
        " contents_b64."
    )
    return ParsedBinary(end, faults=(TextFault(code, message, step, at + 1),))


def _is_blob(blob: str, data: bytes) -> bool:
    if not blob.strip("0"):
        return not data  # there is no file on this side
    algorithm = _ALGORITHMS[len(blob)]
    return algorithm(b"blob %d\0" % len(data) + data).hexdigest() == blob


def _spend(size: int, budget: Budget) -> None:
    if size > min(MAX_FILE_BYTES, budget.bytes_left):
        raise ValueError(
            f"the binary patch inflates to more than the {MAX_FILE_BYTES} bytes that one file may"
            " have"
        )
    budget.bytes_left -= size


def _apply_delta(delta: bytes, before: bytes, budget: Budget) -> bytes:
    """Follow the instructions of a delta, as git's patch-delta.c does."""
    following = iter(delta)
    try:
        old_size, new_size = _parse_size(following), _parse_size(following)
        _spend(new_size, budget)
        after = bytearray()
        for code in following:
            after += _follow(code, following, before)
            if len(after) > new_size:
                break
    except StopIteration:
        raise ValueError("the delta ends in the middle of an instruction") from None
    if (len(before), len(after)) != (old_size, new_size):
        raise ValueError("the delta does not fit the sizes that it announces")
    return bytes(after)


def _follow(code: int, following: Iterator[int], before: bytes) -> bytes:
    """The bytes that one instruction appends: some that follow it in the delta,
    or a copy of old bytes.
    """
    if code == 0:
        raise ValueError("the delta has the undefined instruction 0")
    if code < 0x80:
        return _complete(bytes(islice(following, code)), code)
    start = _parse_sparse(code, 4, following)
    size = _parse_sparse(code >> 4, 3, following) or _DEFAULT_COPY_SIZE
    return _complete(before[start : start + size], size)


def _complete(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise ValueError("the delta copies from beyond the end of its source")
    return data


def _parse_sparse(flags: int, width: int, following: Iterator[int]) -> int:
    """A number of `width` bytes, the lowest first, without those that have no
    flag.
    """
    number = 0
    for position in range(width):
        if flags & 1 << position:
            number |= next(following) << 8 * position
    return number


def _parse_size(following: Iterator[int]) -> int:
    """A number in seven bits a byte, the lowest first."""
    value = 0
    for shift in _SIZE_SHIFTS:
        byte = next(following)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value

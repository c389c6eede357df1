"""Writes a parsed patch out again as text: the reverse of each format's
parser.
"""

from collections.abc import Iterable, Iterator

from gpt_cursor_runner.formats.blocks.markers import unescape
from gpt_cursor_runner.formats.blocks.parsing import Block
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.sections import ParsedPatch, Section

_HEADERS = {"create": b"Add", "delete": b"Delete", "change": b"Update", "move": b"Update"}


def render_envelope(parsed: ParsedPatch) -> bytes:
    """An `apply_patch` envelope."""
    return b"*** Begin Patch\n" + render_sections(parsed) + b"*** End Patch\n"


def render_sections(parsed: ParsedPatch) -> bytes:
    """The inside of an `apply_patch` envelope."""
    return b"".join(line for section in parsed.sections for line in _section(section))


def _section(section: Section) -> Iterator[bytes]:
    yield b"*** %s File: %s\n" % (_HEADERS[section.verb], section.path.encode())
    if section.verb == "move":
        yield b"*** Move to: %s\n" % section.target.encode()
    for hunk in section.hunks:
        yield from () if section.verb == "create" else _opening(hunk)
        yield from (line.sign.encode() + line.data for line in hunk.lines)
        if hunk.at_eof:
            yield b"*** End of File\n"


def _opening(hunk: Hunk) -> Iterator[bytes]:
    if hunk.line_hint is not None:
        yield b"@@ -%d +%d @@\n" % (hunk.line_hint, hunk.new_line_hint or 0)
    elif not hunk.anchors:
        yield b"@@\n"
    yield from (b"@@ %s\n" % anchor for anchor in hunk.anchors)
    if hunk.anchors_required and len(hunk.anchors) == 1:
        yield b"@@\n"


def render_blocks(
    blocks: Iterable[Block], opening: bytes = b"<<<<<<< SEARCH", closing: bytes = b">>>>>>> REPLACE"
) -> bytes:
    """Search/replace blocks; a file is not named again if the block before is for
    it too.
    """
    written, named = list[bytes](), None
    for block in blocks:
        if block.path != named:
            named = block.path
            written.append(b"`%s`\n" % (named or "").encode())
        header = b":start_line:%d\n-------\n" % block.line_hint if block.line_hint else b""
        old, new = (b"".join(_kept(line) for line, _ in side) for side in (block.old, block.new))
        written += [opening, b"\n", header, old, b"=======\n", new, closing, b"\n\n"]
    return b"".join(written)


def _kept(line: bytes) -> bytes:
    """A line of contents, with a backslash if the parser would remove one."""
    return b"\\" + line if unescape(b"\\" + line) == line else line

"""The hunks of one file find their places together, and become one edit of its bytes or a fault each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.matching.ladder import Found, choose, search
from gpt_cursor_runner.formats.matching.refusing import refuse_applied, refuse_hunk
from gpt_cursor_runner.formats.text import Edit, Text
from gpt_cursor_runner.formats.tree import File


def placed_edits(hunks: Sequence[Hunk], file: File, path: str, draft: Draft) -> bytes | None:
    """The bytes of the file after every hunk; None when any was refused. All hunks are judged against `file`."""
    return _Placing(hunks, file, path, draft).outcome()


class _Placing:
    def __init__(self, hunks: Sequence[Hunk], file: File, path: str, draft: Draft) -> None:
        self.hunks, self.file, self.path, self.draft = hunks, file, path, draft
        self.text = Text(file.data)
        self.drifts: set[int] = set()  # how far the hunks with one place stand from their line numbers
        self.edits: list[tuple[Edit, Hunk]] = []

    def outcome(self) -> bytes | None:
        sound = len(self.draft.faults)
        found = {hunk.number: search(self.text, hunk, self.draft.rungs) for hunk in self.hunks if hunk.old}
        self.drifts = {
            found[hunk.number].lines[0] + 1 - hunk.line_hint
            for hunk in self.hunks
            if hunk.line_hint is not None and hunk.old and len(found[hunk.number].lines) == 1
        }
        for hunk in self.hunks:
            if hunk.old:
                self._settle(hunk, found[hunk.number])
            else:
                self._trust_line_number(hunk)
        if len(self.draft.faults) == sound:
            self._refuse_overlaps()
        if len(self.draft.faults) > sound:
            return None
        return self.text.edited(edit for edit, _ in self.edits)

    def _settle(self, hunk: Hunk, found: Found) -> None:
        # A line number decides only if it also does after the drift that the other hunks show.
        hints = () if hunk.line_hint is None else {hunk.line_hint - 1 + drift for drift in {0, *self.drifts}}
        line = choose(found.lines, hints)
        if line is None:
            refuse_hunk(hunk, found, self.text, self.path, self.file, self.draft)
        elif self._stands_at(hunk, line):
            refuse_applied(hunk, line, self.path, self.file, self.draft)
        else:
            self.edits += [(edit, hunk) for edit in hunk.edits(line)]
            self.draft.place(self.path, line + 1, found.rung, hunk.number)

    def _stands_at(self, hunk: Hunk, line: int) -> bool:
        """Whether a hunk that only inserts, with context on one side, was made here already.

        Its context fits again after it was made, so sent twice it would insert twice.
        """
        if hunk.deletes or (hunk.before and hunk.after) or not b"".join(hunk.inserted).strip():
            return False
        new = [line.data for line in hunk.new]
        first = line if not hunk.after else line + len(hunk.old) - len(new)
        return first >= 0 and self.text.lines[first : first + len(new)] == new

    def _trust_line_number(self, hunk: Hunk) -> None:
        """Place a hunk that has nothing but insertions: only its line number tells where, so that must add up."""
        at = hunk.line_hint if self.text.lines else 0
        shift = sum(len(other.new) - len(other.old) for other in self.hunks if other.number < hunk.number)
        reason = None
        if at is None:
            reason = "it has neither context nor a line number"
        elif at > len(self.text.lines):
            reason = f"it goes after line {at}, but the file has {len(self.text.lines)} lines"
        elif self.text.lines and hunk.new_line_hint != at + shift + 1:
            reason = f"its line numbers do not add up (+{at + shift + 1} would follow from -{at},0)"
        elif any(self.drifts):
            reason = "the line numbers of the other hunks are not those of the file"
        elif at == len(self.text.lines) > 0 and not self.file.data.endswith(b"\n"):
            reason = "it follows a last line that has no newline"
        if reason is None and at is not None:
            self._insert(hunk, at)
            return
        self.draft.fault(
            "no_match",
            f"hunk {hunk.number + 1} for {self.path} inserts without context, and {reason}",
            "Add the line above and the line below the insertion to the hunk as context, as they stand in the file.",
            member="text",
            hunk=hunk.number,
            path=self.path,
            patch_line=hunk.patch_line,
            file_sha256=self.file.sha256,
        )

    def _insert(self, hunk: Hunk, at: int) -> None:
        lines = self.text.insertion(at, b"".join(hunk.inserted)) if self.text.lines else hunk.inserted
        if b"".join(lines).strip() and tuple(self.text.lines[at : at + len(lines)]) == lines:
            refuse_applied(hunk, at, self.path, self.file, self.draft)
            return
        self.edits.append((Edit(at, at, lines), hunk))
        self.draft.place(self.path, at + 1, "exact", hunk.number)

    def _refuse_overlaps(self) -> None:
        ordered = sorted(self.edits, key=lambda pair: (pair[0].start, pair[0].end))
        for (above, first), (below, second) in pairwise(ordered):
            both_insert = above.start == above.end == below.start == below.end
            if first is not second and (below.start < above.end or both_insert):
                self.draft.fault(
                    "conflict",
                    f"hunks {first.number + 1} and {second.number + 1} change the same lines of {self.path}",
                    "Join them into one hunk, or send the second as a later change.",
                    member="text",
                    hunk=second.number,
                    path=self.path,
                    patch_line=second.patch_line,
                )

"""The hunks of one file find their places and become one edit of its bytes, or
a fault each.

1. Every hunk is judged against the file as it stands; those that find their
   place are made together.
2. Blocks without line numbers may build on one another: what found no place is
   tried again on the outcome so far.
3. What has no place after that is refused, all of it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.limits import MAX_HUNKS
from gpt_cursor_runner.formats.matching.choosing import AnchorMissing, anchor_ends, choose
from gpt_cursor_runner.formats.matching.ladder import BLOCK_RUNGS, Found, search
from gpt_cursor_runner.formats.matching.places import Place, Unplaceable, edits_at
from gpt_cursor_runner.formats.matching.refusing import (
    Case,
    refuse_applied,
    refuse_encoding,
    refuse_hunk,
    refuse_unanchored,
)
from gpt_cursor_runner.formats.text import Edit, Text
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.formats.virtual_tree import Refusal
from gpt_cursor_runner.patch.outcome import Fault

# How long a chain of blocks, each of which needs the one before it, is followed.
_MOST_PASSES = 8


def placed_edits(hunks: Sequence[Hunk], file: File, path: str, draft: Draft) -> bytes | None:
    """The bytes of the file after every hunk; None when any was refused."""
    draft.patience.left_hunks -= len(hunks)
    if draft.patience.left_hunks < 0:
        raise Refusal(
            "limit",
            path,
            f"the patch has more than {MAX_HUNKS} hunks",
            "Send it as several patches.",
        )
    may_build = all(hunk.line_hint is None for hunk in hunks)
    waiting, data, mark = list(hunks), file.data, len(draft.faults)
    told: dict[int | None, list[Fault]] = {}
    for number in range(_MOST_PASSES):
        defer = may_build and number + 1 < _MOST_PASSES
        placing = _Placing(waiting, Text(data), path, file, draft)
        placing.run(defer_overlaps=defer)
        for fault in draft.faults[mark:]:
            # What was wrong in the file as it is says more than what is wrong
            # in the outcome so far.
            (
                told.setdefault(fault.hunk, [])
                if number
                else told.setdefault(fault.hunk, []).append(fault)
            )
        data = placing.outcome()
        if not placing.refused:
            del draft.faults[mark:]
            return data
        if not (defer and placing.edits):
            break
        waiting = placing.refused
    last = draft.faults[mark:]
    later = [fault for fault in last if not told.get(fault.hunk)]
    first = [fault for hunk in placing.refused for fault in told.get(hunk.number, [])]
    draft.faults[mark:] = sorted(first + later, key=lambda fault: fault.hunk or 0)
    return None


class _Placing:
    def __init__(
        self, hunks: Sequence[Hunk], text: Text, path: str, file: File, draft: Draft
    ) -> None:
        self.hunks, self.text, self.path, self.file, self.draft = hunks, text, path, file, draft
        self.drifts: set[int] = (
            set()
        )  # how far the hunks with one place stand from their line numbers
        self.edits: list[tuple[Edit, Hunk]] = []
        self.refused: list[Hunk] = []

    def run(self, *, defer_overlaps: bool) -> None:
        """Place every hunk; each of `refused` has left a fault, unless it was
        only deferred for an overlap.
        """
        found = {hunk.number: self._search(hunk) for hunk in self.hunks if hunk.old}
        self.drifts = {
            found[hunk.number].places[0].start + 1 - hunk.line_hint
            for hunk in self.hunks
            if hunk.line_hint is not None and hunk.old and len(found[hunk.number].places) == 1
        }
        for hunk in self.hunks:
            sound = len(self.draft.faults)
            try:
                (
                    self._settle(hunk, found[hunk.number])
                    if hunk.old
                    else self._insert_without_context(hunk)
                )
            except AnchorMissing as missing:
                refuse_unanchored(self._case(hunk), missing.sentence, missing=missing.anchor)
            if len(self.draft.faults) > sound:
                self.refused.append(hunk)
        self._part_overlaps(defer=defer_overlaps)

    def _search(self, hunk: Hunk) -> Found:
        patience = self.draft.patience
        found = search(self.text, hunk, self.draft.rungs, patience)
        patience.left_places -= len(found.places)
        if patience.left_places < 0:
            step = "Add context lines, so that each hunk fits one place."
            raise Refusal(
                "limit", self.path, "the hunks fit at more places than can be looked at", step
            )
        if patience.left_aligned < 0:
            step = "Make the patch from the file as it is now, or send fewer hunks at once."
            raise Refusal(
                "limit", self.path, "the context differs in more hunks than can be compared", step
            )
        return found

    def outcome(self) -> bytes:
        return self.text.edited(edit for edit, _ in self.edits)

    def _case(self, hunk: Hunk, found: Found | None = None) -> Case:
        return Case(hunk, self.text, self.path, self.file, self.draft, found)

    def _settle(self, hunk: Hunk, found: Found) -> None:
        # A line number decides only if it also does after the drift that the
        # other hunks show.
        hints = (
            ()
            if hunk.line_hint is None
            else {hunk.line_hint - 1 + drift for drift in {0, *self.drifts}}
        )
        place = choose(self.text, hunk, found.places, hints)
        case = self._case(hunk, found)
        if place is None:
            refuse_hunk(case)
        elif is_made_at(hunk, place, found):
            refuse_applied(case, place.start)
        else:
            self._make(hunk, place, found, case)

    def _make(self, hunk: Hunk, place: Place, found: Found, case: Case) -> None:
        try:
            edits = edits_at(hunk, place, self.text, as_sent=found.rung == "exact")
        except Unplaceable:
            refuse_hunk(case)
            return
        if not self.text.takes(line for edit in edits for line in edit.lines):
            refuse_encoding(case)
            return
        self.edits += [(edit, hunk) for edit in edits]
        self.draft.place(
            self.path, place.start + 1, found.rung, hunk.number, round(place.similarity, 3)
        )

    def _insert_without_context(self, hunk: Hunk) -> None:
        if hunk.anchors:
            ends = anchor_ends(self.text, hunk.anchors)
            if len(ends) == 1:
                self._insert(hunk, ends[0] + 1)
            else:
                sentence = (
                    f"the anchor stands at {len(ends)} places, and nothing says which is meant"
                )
                refuse_unanchored(self._case(hunk), sentence, [row + 1 for row in ends])
        elif hunk.at_eof or not self.text.lines:
            self._insert(hunk, len(self.text.lines))
        else:
            self._trust_line_number(hunk)

    def _trust_line_number(self, hunk: Hunk) -> None:
        """Place a hunk that has nothing but insertions: only its line number
        tells where, so that must add up.
        """
        at = hunk.line_hint
        shift = sum(
            len(other.new) - len(other.old) for other in self.hunks if other.number < hunk.number
        )
        reason = None
        if at is None:
            reason = "it has neither context nor a line number"
        elif at > len(self.text.lines):
            reason = f"it goes after line {at}, but the file has {len(self.text.lines)} lines"
        elif hunk.new_line_hint != at + shift + 1:
            reason = f"its line numbers do not add up (+{at + shift + 1} would follow from -{at},0)"
        elif any(self.drifts):
            reason = "the line numbers of the other hunks are not those of the file"
        elif at == len(self.text.lines) and not self.text.data.endswith(b"\n"):
            reason = "it follows a last line that has no newline"
        if reason is None and at is not None:
            self._insert(hunk, at)
            return
        self.draft.fault(
            "no_match",
            f"hunk {hunk.number + 1} for {self.path} inserts without context, and {reason}",
            "Add the line above and the line below the insertion to the hunk as context, as they"
            " stand in the file.",
            **self._case(hunk).place_in_patch(),
        )

    def _insert(self, hunk: Hunk, at: int) -> None:
        data = b"".join(hunk.inserted)
        if not data:
            return  # its reader has told why there is nothing
        lines = list(self.text.insertion(at, data) if self.text.lines else hunk.inserted)
        if at == len(self.text.lines) and not data.endswith(b"\n"):
            lines[-1] = lines[-1].rstrip(
                b"\r\n"
            )  # said to be the new last line, without a line end
        stands = (
            self.text.lines[at : at + len(lines)]
            if at < len(self.text.lines)
            else self.text.lines[-len(lines) :]
        )
        if data.strip() and [line.rstrip() for line in stands] == [line.rstrip() for line in lines]:
            refuse_applied(self._case(hunk), min(at, len(self.text.lines) - len(lines)))
            return
        if not self.text.takes(lines):
            refuse_encoding(self._case(hunk))
            return
        self.edits.append((Edit(at, at, tuple(lines)), hunk))
        self.draft.place(self.path, at + 1, "exact", hunk.number)

    def _part_overlaps(self, *, defer: bool) -> None:
        """Of two hunks that change the same lines the later one gives way: it
        waits, or it is refused.
        """
        ordered = sorted(self.edits, key=lambda pair: (pair[0].start, pair[0].end))
        losers: dict[int, Hunk] = {}
        for (above, first), (below, second) in pairwise(ordered):
            both_insert = above.start == above.end == below.start == below.end
            if first is not second and (below.start < above.end or both_insert):
                loser = max(first, second, key=lambda hunk: hunk.number)
                losers[loser.number] = loser
                if not defer:
                    self._refuse_overlap(first, second)
        self.edits = [(edit, hunk) for edit, hunk in self.edits if hunk.number not in losers]
        self.refused = sorted([*self.refused, *losers.values()], key=lambda hunk: hunk.number)
        if losers:
            kept = [
                one
                for one in self.draft.placed
                if one.change != self.draft.change or one.path != self.path
            ]
            mine = [one for one in self.draft.placed if one not in kept and one.hunk not in losers]
            self.draft.placed[:] = [*kept, *mine]

    def _refuse_overlap(self, first: Hunk, second: Hunk) -> None:
        self.draft.fault(
            "conflict",
            f"hunks {first.number + 1} and {second.number + 1} change the same lines of"
            f" {self.path}",
            "Join them into one hunk, or send the second as a later change.",
            **self._case(second).place_in_patch(),
        )


def is_made_at(hunk: Hunk, place: Place, found: Found) -> bool:
    """Whether the outcome of the hunk stands here already, so that making it
    again would make it twice.
    """
    size = len(hunk.new)
    if hunk.deletes or found.rung not in BLOCK_RUNGS:
        return any(row < place.end and place.start < row + size for row in found.standing)
    # Context on one side only fits again after the insertion was made; on both
    # sides it does not.
    if (hunk.before and hunk.after) or not b"".join(hunk.inserted).strip():
        return False
    return (place.start if not hunk.after else place.end - size) in found.standing

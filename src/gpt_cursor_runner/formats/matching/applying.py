"""Applies the hunks of one file, or records a fault for each hunk that has no
place.

1. Every hunk is matched with the file as it is; all hunks that have a place are
   applied together.
2. Hunks without line numbers may build on one another: those without a place
   are tried again on the outcome so far.
3. Hunks without a place after that are refused, all of them at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from operator import attrgetter

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.limits import MAX_HUNKS
from gpt_cursor_runner.formats.matching.already_applied import is_applied_at
from gpt_cursor_runner.formats.matching.anchors import AnchorMissing, find_anchors
from gpt_cursor_runner.formats.matching.edits import Unplaceable, edits_at
from gpt_cursor_runner.formats.matching.faults import (
    HunkContext,
    add_already_applied,
    add_anchor_fault,
    add_encoding_fault,
    add_placement_fault,
)
from gpt_cursor_runner.formats.matching.ladder import search
from gpt_cursor_runner.formats.matching.places import Place, SearchResult
from gpt_cursor_runner.formats.matching.selection import select_place
from gpt_cursor_runner.formats.text import Edit, Text
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.formats.virtual_tree import Refusal
from gpt_cursor_runner.patch.faults import Fault

# How long a chain of hunks, each of which needs the one before it, may be.
_MOST_PASSES = 8


def apply_hunks(hunks: Sequence[Hunk], file: File, path: str, plan: ChangePlan) -> bytes | None:
    """Return the bytes of the file after every hunk; None when any was refused.

    Raises Refusal when the hunks exceed the budget of the patch.
    """
    _spend_hunks(len(hunks), path, plan)
    faults: list[Sequence[Fault]] = []
    for current in _passes(hunks, file, path, plan):
        plan.placed_hunks += current.plan.placed_hunks
        if not current.refused:
            return current.outcome()
        faults.append(current.plan.faults)
        refused = current.refused
    plan.faults += _faults_to_report(faults, refused)
    return None


def _passes(hunks: Sequence[Hunk], file: File, path: str, plan: ChangePlan) -> Iterator[_Pass]:
    """Run passes while one places some of the refused hunks. Each has a trial
    plan of its own.
    """
    data, waiting = file.data, hunks
    for passes_left in reversed(range(_most_passes(hunks))):
        current = _Pass(waiting, Text(data), path, file, plan.start_trial())
        current.run(may_defer=passes_left > 0)
        yield current
        if not current.edits:
            return
        data, waiting = current.outcome(), current.refused


def _most_passes(hunks: Sequence[Hunk]) -> int:
    for hunk in hunks:
        if hunk.line_hint is not None:
            return 1
    return _MOST_PASSES


def _spend_hunks(count: int, path: str, plan: ChangePlan) -> None:
    plan.budget.hunks_left -= count
    if plan.budget.hunks_left < 0:
        raise Refusal(
            "limit",
            path,
            f"the patch has more than {MAX_HUNKS} hunks",
            "Send it as several patches.",
        )


def _faults_to_report(
    faults_of_passes: Sequence[Sequence[Fault]], refused: Sequence[Hunk]
) -> list[Fault]:
    # A fault in the file as it is explains more than one in the outcome so far.
    first_faults = faults_of_passes[0]
    all_faults = list(chain.from_iterable(faults_of_passes))
    refused_numbers = {hunk.number for hunk in refused}
    explained_numbers = {fault.hunk for fault in first_faults}
    later_numbers = {fault.hunk for fault in all_faults} - explained_numbers
    faults = _faults_of(refused_numbers, first_faults) + _faults_of(later_numbers, all_faults)
    return sorted(faults, key=attrgetter("hunk"))


def _faults_of(numbers: Collection[int | None], faults: Iterable[Fault]) -> list[Fault]:
    return [fault for fault in faults if fault.hunk in numbers]


class _Pass:
    """One pass over hunks that are all matched with the same text.

    After `run`, `edits` are those of the hunks that have a place, and `refused`
    are the other hunks in order.
    """

    def __init__(
        self, hunks: Sequence[Hunk], text: Text, path: str, file: File, plan: ChangePlan
    ) -> None:
        self.hunks, self.text, self.path, self.file, self.plan = hunks, text, path, file, plan
        # How far the hunks with one place are from their line numbers.
        self.drifts: set[int] = set()
        self.edits: list[tuple[Edit, Hunk]] = []
        self.refused: list[Hunk] = []

    def run(self, *, may_defer: bool) -> None:
        """Match every hunk. Each of `refused` has a fault, unless `may_defer`
        and it only overlaps an earlier hunk.
        """
        results = {hunk.number: self._search(hunk) for hunk in self.hunks if hunk.old}
        self.drifts = self._find_drifts(results)
        for hunk in self.hunks:
            self._place_or_insert(hunk, results.get(hunk.number))
        self.refused = self._hunks_with_faults()
        self._remove_overlaps(may_defer=may_defer)

    def _hunks_with_faults(self) -> list[Hunk]:
        numbers = {fault.hunk for fault in self.plan.faults}
        return [hunk for hunk in self.hunks if hunk.number in numbers]

    def outcome(self) -> bytes:
        return self.text.apply_edits(edit for edit, _ in self.edits)

    def _context(self, hunk: Hunk, result: SearchResult | None = None) -> HunkContext:
        return HunkContext(hunk, self.text, self.path, self.file, self.plan, result)

    def _search(self, hunk: Hunk) -> SearchResult:
        budget = self.plan.budget
        result = search(self.text, hunk, self.plan.rungs, budget)
        budget.places_left -= len(result.places)
        if budget.places_left < 0:
            raise Refusal(
                "limit",
                self.path,
                "the hunks fit at more places than can be looked at",
                "Add context lines, so that each hunk fits one place.",
            )
        if budget.aligned_lines_left < 0:
            raise Refusal(
                "limit",
                self.path,
                "the context differs in more hunks than can be compared",
                "Make the patch from the file as it is now, or send fewer hunks at once.",
            )
        return result

    def _find_drifts(self, results: dict[int, SearchResult]) -> set[int]:
        drifts: set[int] = set()
        for hunk in self.hunks:
            if hunk.line_hint is None or not hunk.old:
                continue
            places = results[hunk.number].places
            if len(places) == 1:
                drifts.add(places[0].start + 1 - hunk.line_hint)
        return drifts

    def _place_or_insert(self, hunk: Hunk, result: SearchResult | None) -> None:
        try:
            if result is None:
                self._insert_without_context(hunk)
            else:
                self._place(hunk, result)
        except AnchorMissing as missing:
            add_anchor_fault(self._context(hunk), missing.reason, missing=missing.anchor)

    def _place(self, hunk: Hunk, result: SearchResult) -> None:
        place = select_place(self.text, hunk, result.places, self._hinted_rows(hunk))
        context = self._context(hunk, result)
        if place is None:
            add_placement_fault(context)
        elif is_applied_at(hunk, place, result):
            add_already_applied(context, place.start)
        else:
            self._apply(context, place, result.rung)

    def _hinted_rows(self, hunk: Hunk) -> set[int]:
        if hunk.line_hint is None:
            return set()
        # A line number decides only if it also does after the drift that the
        # other hunks show.
        return {hunk.line_hint - 1 + drift for drift in {0, *self.drifts}}

    def _apply(self, context: HunkContext, place: Place, rung: str) -> None:
        hunk = context.hunk
        try:
            edits = edits_at(hunk, place, self.text, as_sent=rung == "exact")
        except Unplaceable:
            add_placement_fault(context)
            return
        if self._keep_edits(context, edits):
            similarity = round(place.similarity, 3)
            self.plan.add_placed_hunk(self.path, place.start + 1, rung, hunk.number, similarity)

    def _keep_edits(self, context: HunkContext, edits: Sequence[Edit]) -> bool:
        """Keep the edits of a hunk; False, with a fault, when they would mix
        encodings.
        """
        written = chain.from_iterable(edit.lines for edit in edits)
        if not self.text.can_hold(written):
            add_encoding_fault(context)
            return False
        self.edits += [(edit, context.hunk) for edit in edits]
        return True

    def _insert_without_context(self, hunk: Hunk) -> None:
        if hunk.anchors:
            self._insert_below_anchors(hunk)
        elif hunk.at_eof or not self.text.lines:
            self._insert(hunk, len(self.text.lines))
        else:
            self._insert_at_line_number(hunk)

    def _insert_below_anchors(self, hunk: Hunk) -> None:
        anchor_rows = find_anchors(self.text, hunk.anchors)
        if len(anchor_rows) == 1:
            self._insert(hunk, anchor_rows[0] + 1)
            return
        count = len(anchor_rows)
        reason = f"the file has the anchor at {count} places, and the patch does not select one"
        add_anchor_fault(self._context(hunk), reason, [row + 1 for row in anchor_rows])

    def _insert_at_line_number(self, hunk: Hunk) -> None:
        doubt = self._line_number_doubt(hunk)
        if doubt is None and hunk.line_hint is not None:
            self._insert(hunk, hunk.line_hint)
            return
        self.plan.add_fault(
            "no_match",
            f"hunk {hunk.number + 1} for {self.path} inserts without context, and {doubt}",
            "Add the line above and the line below the insertion to the hunk as context, exactly"
            " as the file has them.",
            **self._context(hunk).position(),
        )

    def _line_number_doubt(self, hunk: Hunk) -> str | None:
        """The reason not to trust the line number, the only thing that places
        this insertion; None when it is consistent with the rest.
        """
        after_line = hunk.line_hint
        if after_line is None:
            return "it has neither context nor a line number"
        line_count = len(self.text.lines)
        if after_line > line_count:
            return f"it goes after line {after_line}, but the file has {line_count} lines"
        return self._doubt_within_file(hunk, after_line)

    def _doubt_within_file(self, hunk: Hunk, after_line: int) -> str | None:
        new_line = after_line + 1 + self._lines_added_above(hunk)
        if hunk.new_line_hint != new_line:
            return f"its line numbers do not add up (+{new_line} would follow from -{after_line},0)"
        if any(self.drifts):
            return "the line numbers of the other hunks are not those of the file"
        if after_line == len(self.text.lines) and not self.text.data.endswith(b"\n"):
            return "it follows a last line that has no newline"
        return None

    def _lines_added_above(self, hunk: Hunk) -> int:
        added = 0
        for other in self.hunks:
            if other.number < hunk.number:
                added += len(other.new) - len(other.old)
        return added

    def _insert(self, hunk: Hunk, row: int) -> None:
        data = b"".join(hunk.inserted)
        if not data:
            return  # the parser has already recorded why nothing is left of it
        lines = self._lines_to_insert(hunk, row, data)
        if data.strip() and self._holds_already(lines, row):
            applied_row = min(row, len(self.text.lines) - len(lines))
            add_already_applied(self._context(hunk), applied_row)
            return
        if self._keep_edits(self._context(hunk), [Edit(row, row, tuple(lines))]):
            self.plan.add_placed_hunk(self.path, row + 1, "exact", hunk.number)

    def _lines_to_insert(self, hunk: Hunk, row: int, data: bytes) -> list[bytes]:
        lines = list(hunk.inserted)
        if self.text.lines:
            lines = list(self.text.insertion(row, data))
        if row == len(self.text.lines) and not data.endswith(b"\n"):
            # The patch marks it as the new last line, without a line end.
            lines[-1] = lines[-1].rstrip(b"\r\n")
        return lines

    def _holds_already(self, lines: Sequence[bytes], row: int) -> bool:
        """Whether the lines follow at `row`, or end the file if that is its end."""
        if row < len(self.text.lines):
            in_file = self.text.lines[row : row + len(lines)]
        else:
            in_file = self.text.lines[-len(lines) :]
        return list(map(bytes.rstrip, in_file)) == list(map(bytes.rstrip, lines))

    def _remove_overlaps(self, *, may_defer: bool) -> None:
        """Drop the later of two hunks that change the same lines: it waits for
        the next pass, or it is refused.
        """
        dropped: dict[int, Hunk] = {}
        for first, second in self._overlapping_hunks():
            later = max(first, second, key=lambda hunk: hunk.number)
            dropped[later.number] = later
            if not may_defer:
                self._add_overlap_fault(first, second)
        self._drop(dropped)

    def _drop(self, hunks: dict[int, Hunk]) -> None:
        self.edits = [(edit, hunk) for edit, hunk in self.edits if hunk.number not in hunks]
        self.refused = sorted([*self.refused, *hunks.values()], key=lambda hunk: hunk.number)
        self.plan.remove_placed_hunks(hunks)

    def _overlapping_hunks(self) -> list[tuple[Hunk, Hunk]]:
        overlapping: list[tuple[Hunk, Hunk]] = []
        ordered = sorted(self.edits, key=lambda pair: (pair[0].start, pair[0].end))
        for (above, first), (below, second) in pairwise(ordered):
            if first is not second and _overlap(above, below):
                overlapping.append((first, second))
        return overlapping

    def _add_overlap_fault(self, first: Hunk, second: Hunk) -> None:
        self.plan.add_fault(
            "conflict",
            f"hunks {first.number + 1} and {second.number + 1} change the same lines of"
            f" {self.path}",
            "Join them into one hunk, or send the second as a later change.",
            **self._context(second).position(),
        )


def _overlap(above: Edit, below: Edit) -> bool:
    both_insert_at_one_row = above.start == above.end == below.start == below.end
    return both_insert_at_one_row or below.start < above.end

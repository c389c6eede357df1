"""unified_diff: plain or git's, of one file or several. Hunks are found by their
text; line numbers are hints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from gpt_cursor_runner.formats.applying_sections import apply_sections
from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.diff.binary import BinaryPatch
from gpt_cursor_runner.formats.diff.files import FileDiff, Operation, reverse
from gpt_cursor_runner.formats.diff.parsing import parse_diff
from gpt_cursor_runner.formats.diff.stripping import Stripping
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.limits import MAX_FILES, MAX_HUNKS
from gpt_cursor_runner.formats.overlay import FILE_KINDS
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled
from gpt_cursor_runner.patch.model import UnifiedDiff
from gpt_cursor_runner.patch.paths import UnsafePath

_TWO_PATH_VERBS: Mapping[Operation | None, Verb] = {"rename": "move", "copy": "copy"}


def unified_diff(change: UnifiedDiff, plan: ChangePlan) -> None:
    """Apply every file's part of the diff, or add the faults of all of them."""
    # Counted before parsing, which is what the limit protects.
    if change.text.count("\n@@") > MAX_HUNKS:
        message = f"the diff has more than {MAX_HUNKS} hunks"
        step = "Send it as several patches, one after another."
        plan.add_fault("limit", message, step, member="text")
        return
    files, faults = parse_diff(change.text.encode())
    if _is_refused(change, files, plan):
        return
    apply_sections(ParsedPatch((), faults), plan)
    if change.reverse:
        files = list(map(reverse, reversed(files)))
    # Each mail of a series builds on the one before it, but all files of one
    # mail are diffs from the same tree.
    for _, files_of_mail in groupby(files, key=lambda file: file.mail):
        sections = _SectionBuilder(list(files_of_mail), change, plan).build()
        apply_sections(ParsedPatch(sections, at_once=True), plan)


def _is_refused(change: UnifiedDiff, files: Sequence[FileDiff], plan: ChangePlan) -> bool:
    """Refuse a diff of too many files, and members that contradict the diff or
    the tolerance. Returns whether a fault was added.
    """
    if change.path is not None and len(files) > 1:
        plan.add_fault(
            "malformed",
            f"'path' names one file, but the diff has {len(files)} files",
            "Leave 'path' out, or send one change for each file.",
            member="path",
        )
    elif _has_useless_fuzz(change, plan):
        plan.add_fault(
            "malformed",
            "'fuzz' lets context lines differ, which only tolerance 'merge' allows",
            "Send the patch with tolerance 'merge', or without 'fuzz'.",
            member="fuzz",
        )
    elif len(files) > MAX_FILES:
        message = f"the diff has {len(files)} files; the limit for one diff is {MAX_FILES}"
        step = "Send several patches, one after another."
        plan.add_fault("limit", message, step, member="text")
    return bool(plan.faults)


def _has_useless_fuzz(change: UnifiedDiff, plan: ChangePlan) -> bool:
    rungs = {rung.name for rung in plan.rungs}
    return change.fuzz > 0 and "fuzzy" not in rungs


class _SectionBuilder:
    """Builds the sections of one diff, and tracks which files exist after each
    of them.
    """

    def __init__(self, files: Sequence[FileDiff], change: UnifiedDiff, plan: ChangePlan) -> None:
        self.files, self.change, self.plan = files, change, plan
        self.exists_after: dict[str, bool] = {}
        self.stripping = Stripping(files, change.strip, self._file_exists)

    def build(self) -> list[Section]:
        sections: list[Section] = []
        for file in self.files:
            try:
                sections.append(self._section(file))
            except ValueError as error:
                self._add_name_faults(file, error)
        return sections

    def _add_name_faults(self, file: FileDiff, error: ValueError) -> None:
        if file.faults:
            # They explain why its names could not be parsed.
            apply_sections(ParsedPatch((), file.faults), self.plan)
            return
        code = "malformed"
        if isinstance(error, UnsafePath):
            code = "path_escape"
        step = (
            "Name files inside the repository, as in '--- a/src/app.py', or send 'path' beside the"
            " diff."
        )
        self.plan.add_fault(code, str(error), step, member="text", patch_line=file.patch_line)

    def _section(self, file: FileDiff) -> Section:
        """Raises UnsafePath for a name that leaves the repository, and ValueError
        when the names do not determine the file.
        """
        source, target = self._paths(file)
        verb = self._verb(file, target)
        faults = list(file.faults)
        mode = file.new_mode
        if verb == "delete":
            faults += self._missing_lines_faults(file, source)
            mode = None
        self.exists_after[source] = verb not in ("delete", "move")
        self.exists_after[target] = verb != "delete"
        return Section(
            file.patch_line,
            verb,
            source,
            target,
            hunks=tuple(map(self._with_options, file.hunks)),
            mode=mode,
            binary=self._binary_patch(file),
            old_blob=file.old_blob,
            faults=tuple(faults),
        )

    def _with_options(self, hunk: Hunk) -> Hunk:
        return replace(hunk, fuzz=self.change.fuzz, ignore_whitespace=self.change.ignore_whitespace)

    def _binary_patch(self, file: FileDiff) -> BinaryPatch | None:
        if file.forward is None:
            return None
        old_blob, new_blob = file.old_blob or "", file.new_blob or ""
        return BinaryPatch(file.forward, old_blob, new_blob, self.plan.budget)

    def _paths(self, file: FileDiff) -> tuple[str, str]:
        if self.change.path is None:
            return self.stripping.paths(file)
        if file.has_two_paths:
            raise ValueError(f"a {file.operation} names both its files, so 'path' must be left out")
        return self.change.path, self.change.path

    def _verb(self, file: FileDiff, path: str) -> Verb:
        if file.operation in _TWO_PATH_VERBS:
            return _TWO_PATH_VERBS[file.operation]
        if self._creates(file, path):
            return "create"
        if file.deletes:
            return "delete"
        return "change"

    def _creates(self, file: FileDiff, path: str) -> bool:
        if file.creates:
            return True
        return _is_from_nothing(file) and self._is_free(path)

    def _is_free(self, path: str) -> bool:
        return not self._file_exists(path) and self.plan.tree.kind(path) is None

    def _file_exists(self, path: str) -> bool:
        exists = self.exists_after.get(path)
        if exists is None:
            exists = self.plan.tree.kind(path) in FILE_KINDS
        return exists

    def _missing_lines_faults(self, file: FileDiff, path: str) -> list[TextFault]:
        """The fault of a diff without contents that deletes a file that has
        some.
        """
        if file.has_contents or not self._has_lines(path):
            return []
        message = f"the diff deletes {path}, but has none of its lines"
        step = "Send a delete change for the file, or a diff that deletes every line of it."
        return [TextFault("conflict", message, step, file.patch_line)]

    def _has_lines(self, path: str) -> bool:
        if path in self.exists_after:
            return False
        try:
            return self.plan.tree.file(path).data != b""
        except (Refusal, Spoiled):
            return False  # applying the section reports the reason


def _is_from_nothing(file: FileDiff) -> bool:
    """Whether the only hunk is `@@ -0,0`: models write it for a new file, below
    the header of an existing one.
    """
    return [(hunk.line_hint, hunk.old) for hunk in file.hunks] == [(0, ())]

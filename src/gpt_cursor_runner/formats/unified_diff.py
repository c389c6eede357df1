"""unified_diff: plain or git's, of one file or several. Hunks are found by
their text; line numbers are hints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from gpt_cursor_runner.formats.applying import apply_sections
from gpt_cursor_runner.formats.diff.binary import BinaryPatch
from gpt_cursor_runner.formats.diff.files import FileDiff, reverse
from gpt_cursor_runner.formats.diff.parsing import parse_diff
from gpt_cursor_runner.formats.diff.stripping import Stripping
from gpt_cursor_runner.formats.limits import MAX_FILES, MAX_HUNKS
from gpt_cursor_runner.formats.sections import ParsedPatch, Section, TextFault, Verb
from gpt_cursor_runner.formats.virtual_tree import Refusal, Spoiled
from gpt_cursor_runner.patch.model import UnifiedDiff
from gpt_cursor_runner.patch.paths import UnsafePath


def unified_diff(change: UnifiedDiff, plan: ChangePlan) -> None:
    """Make every file's part of the diff, or note the faults of all of them."""
    if change.text.count("\n@@") > MAX_HUNKS:
        message = f"the diff has more than {MAX_HUNKS} hunks"
        plan.add_fault(
            "limit", message, "Send it as several patches, one after the other.", member="text"
        )
        return
    files, faults = parse_diff(change.text.encode())
    if change.path is not None and len(files) > 1:
        message, step = (
            f"'path' names one file, but the diff speaks of {len(files)}",
            "Leave 'path' out, or send one",
        )
        plan.add_fault("malformed", message, f"{step} change for each file.", member="path")
        return
    if change.fuzz and "fuzzy" not in {rung.name for rung in plan.rungs}:
        message = "'fuzz' lets context lines differ, which only tolerance 'merge' allows"
        plan.add_fault(
            "malformed",
            message,
            "Send the patch with tolerance 'merge', or without 'fuzz'.",
            member="fuzz",
        )
        return
    if len(files) > MAX_FILES:
        message = f"the diff speaks of {len(files)} files; at most {MAX_FILES} are taken at once"
        plan.add_fault(
            "limit", message, "Send several patches, one after the other.", member="text"
        )
        return
    apply_sections(ParsedPatch((), faults), draft)
    if change.reverse:
        files = [reverse(file) for file in reversed(files)]
    for _, letter in groupby(files, key=lambda file: file.mail):
        # Each mail of a series was made from what the one before left; the
        # files of one were all made from one tree.
        apply_sections(
            ParsedPatch(_Sections(list(letter), change, draft).read(), at_once=True), draft
        )


class _Sections:
    """The sections of one diff; which files stand where is followed while they
    are read.
    """

    def __init__(self, files: Sequence[FileDiff], change: UnifiedDiff, plan: ChangePlan) -> None:
        self.files, self.change, self.plan = files, change, plan
        self.made: dict[str, bool] = {}
        self.stripping = Stripping(files, change.strip, self._standing)

    def read(self) -> list[Section]:
        sections = []
        for file in self.files:
            try:
                sections.append(self._section(file))
            except ValueError as bad:
                apply_sections(ParsedPatch((), file.faults), self.draft)
                if file.faults:
                    continue  # they say why its names are no names
                code = "path_escape" if isinstance(bad, UnsafePath) else "malformed"
                step = (
                    "Name files inside the repository, as in '--- a/src/app.py', or send 'path'"
                    " beside the diff."
                )
                self.plan.add_fault(code, str(bad), step, member="text", patch_line=file.patch_line)
        return sections

    def _section(self, file: FileDiff) -> Section:
        """UnsafePath for a name that leaves the repository, ValueError when the
        names do not tell the file.
        """
        source, target = self._paths(file)
        verb = self._verb(file, target)
        faults = tuple(file.faults)
        if verb == "delete" and not (file.hunks or file.forward) and self._holds_lines(source):
            message = f"the diff deletes {source}, but holds none of its lines"
            step = "Send a delete change for the file, or a diff that deletes every line it holds."
            faults = (*faults, TextFault("conflict", message, step, file.patch_line))
        binary = None
        if file.forward:
            binary = BinaryPatch(
                file.forward, file.old_blob or "", file.new_blob or "", self.plan.budget
            )
        self.made |= {source: verb not in ("delete", "move")} | {target: verb != "delete"}
        mode = None if verb == "delete" else file.new_mode
        fuzz, blanks = self.change.fuzz, self.change.ignore_whitespace
        hunks = tuple(replace(hunk, fuzz=fuzz, ignore_whitespace=blanks) for hunk in file.hunks)
        return Section(
            file.patch_line, verb, source, target, hunks, mode, binary, file.old_blob, faults
        )

    def _paths(self, file: FileDiff) -> tuple[str, str]:
        if self.change.path is None:
            return self.stripping.paths(file)
        if file.has_two_paths:
            raise ValueError(
                f"a {file.operation} names its own files, so 'path' has no meaning beside it"
            )
        return self.change.path, self.change.path

    def _verb(self, file: FileDiff, path: str) -> Verb:
        if file.operation == "rename":
            return "move"
        if file.operation == "copy":
            return "copy"
        # A diff from nothing (`@@ -0,0`) for a file that is not there means a
        # new file, whatever its header says.
        from_nothing = [(hunk.line_hint, hunk.old) for hunk in file.hunks] == [(0, ())]
        if file.creates or (
            from_nothing and not self._standing(path) and self.plan.tree.kind(path) is None
        ):
            return "create"
        return "delete" if file.deletes else "change"

    def _standing(self, path: str) -> bool:
        known = self.made.get(path)
        return self.plan.tree.kind(path) in ("file", "executable") if known is None else known

    def _holds_lines(self, path: str) -> bool:
        try:
            return path not in self.made and bool(self.plan.tree.file(path).data)
        except (Refusal, Spoiled):
            return False  # making the section tells why

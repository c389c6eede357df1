"""unified_diff: plain or git's, of one file or several. Hunks are found by their text; line numbers are hints."""

from __future__ import annotations

from gpt_cursor_runner.formats.diff.names import drop_parts, has_git_prefixes
from gpt_cursor_runner.formats.diff.parsing import FileDiff, parse_diff
from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.making import make_sections
from gpt_cursor_runner.formats.sections import Problem, Reading, Section, Verb
from gpt_cursor_runner.formats.virtual_tree import VirtualTree
from gpt_cursor_runner.patch.model import UnifiedDiff
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path


def unified_diff(change: UnifiedDiff, draft: Draft) -> None:
    """Make every file's part of the diff, or note the faults of all of them."""
    files, problems = parse_diff(change.text.encode())
    if change.path is not None and len(files) > 1:
        draft.fault(
            "malformed",
            f"'path' names one file, but the diff speaks of {len(files)}",
            "Leave 'path' out, or send one change for each file.",
            member="path",
        )
        return
    make_sections(Reading((), problems), draft)
    for file in files:
        # One by one, since where a file's names lead depends on what the sections before it made.
        try:
            section = _section(file, change, draft.tree)
        except ValueError as bad:
            code = "path_escape" if isinstance(bad, UnsafePath) else "malformed"
            step = "Name files inside the repository, as in '--- a/src/app.py', or send 'path' beside the diff."
            draft.fault(code, str(bad), step, member="text", patch_line=file.patch_line)
            continue
        make_sections(Reading([section]), draft)


def _section(file: FileDiff, change: UnifiedDiff, tree: VirtualTree) -> Section:
    """UnsafePath for a name that leaves the repository, ValueError when the names do not tell the file."""
    source, target = _paths(file, change, tree)
    problems = tuple(file.problems)
    if file.binary:
        step = "Send the file as an upsert with contents_b64."
        problems = (*problems, Problem("binary", f"the diff of {target} is a binary one", step, file.patch_line))
    verb = _verb(file, target, tree)
    return Section(file.patch_line, verb, source, target, tuple(file.hunks), file.mode, problems=problems)


def _verb(file: FileDiff, path: str, tree: VirtualTree) -> Verb:
    if file.said == "rename":
        return "move"
    if file.said == "copy":
        return "copy"
    # A diff from nothing (`@@ -0,0`) for a file that is not there means a new file, whatever its header says.
    silently = tree.kind(path) is None and [(hunk.line_hint, hunk.old) for hunk in file.hunks] == [(0, ())]
    if file.creates or silently:
        return "create"
    return "delete" if file.deletes else "change"


def _paths(file: FileDiff, change: UnifiedDiff, tree: VirtualTree) -> tuple[str, str]:
    """Source and target in the repository; they differ for a rename or a copy only.

    UnsafePath for a name that leaves the repository, ValueError when the names do not tell the file.
    """
    old, new = file.old.text, file.new.text
    if file.said in ("rename", "copy"):
        if change.path is not None:
            raise ValueError("a rename names its own files; with it, 'strip' and 'path' have no meaning")
        return parse_path(old or ""), parse_path(new or "")
    if change.path is not None:
        return change.path, change.path
    names = [name for name in (None if file.deletes else new, None if file.creates else old) if name is not None]
    if not names:
        raise ValueError("the diff does not say which file it is for")
    if change.strip is not None:
        choices = [drop_parts(name, change.strip) for name in names]
    elif has_git_prefixes(old, new):
        choices = [drop_parts(name, 1) for name in names] + names
    else:
        choices = names
    safe = [parse_path(name) for name in choices]
    path = next((path for path in safe if tree.kind(path) in ("file", "executable")), safe[0])
    return path, path

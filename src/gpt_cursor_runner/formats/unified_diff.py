"""unified_diff: plain or git's, of one file or several. Hunks are found by their text; line numbers are hints."""

from __future__ import annotations

from gpt_cursor_runner.formats.diff.names import drop_parts, has_git_prefixes
from gpt_cursor_runner.formats.diff.parsing import FileDiff, parse_diff
from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.matching.placing import placed_edits
from gpt_cursor_runner.formats.tree import File, FileMode
from gpt_cursor_runner.formats.virtual_tree import Refusal, VirtualTree
from gpt_cursor_runner.patch.model import UnifiedDiff
from gpt_cursor_runner.patch.paths import UnsafePath, parse_path

_MODES: dict[str | None, FileMode | None] = {None: None, "100644": "100644", "100755": "100755"}


def unified_diff(change: UnifiedDiff, draft: Draft) -> None:
    """Make every file's part of the diff, or note the faults of all of them."""
    files, problems = parse_diff(change.text.encode())
    for problem in problems:
        draft.fault(problem.code, problem.message, problem.next_step, member="text", patch_line=problem.patch_line)
    if change.path is not None and len(files) > 1:
        draft.fault(
            "malformed",
            f"'path' names one file, but the diff speaks of {len(files)}",
            "Leave 'path' out, or send one change for each file.",
            member="path",
        )
        return
    for file in files:
        try:
            source, target = _paths(file, change, draft.tree)
        except ValueError as bad:
            code = "path_escape" if isinstance(bad, UnsafePath) else "malformed"
            step = "Name files inside the repository, as in '--- a/src/app.py', or send 'path' beside the diff."
            draft.fault(code, str(bad), step, member="text", patch_line=file.patch_line)
            continue
        with draft.step(*{source, target}, member="text", patch_line=file.patch_line):
            _make(file, source, target, draft)


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


def _make(file: FileDiff, source: str, target: str, draft: Draft) -> None:
    for problem in file.problems:
        draft.fault(
            problem.code,
            problem.message,
            problem.next_step,
            member="text",
            path=target,
            patch_line=problem.patch_line,
            hunk=problem.hunk,
        )
    if file.binary:
        raise Refusal(
            "binary",
            target,
            f"the diff of {target} is a binary one",
            "Send the file as an upsert with contents_b64.",
        )
    if file.mode not in _MODES and not file.deletes:
        raise Refusal(
            "not_a_file",
            target,
            f"the mode {file.mode} is not one of a regular file",
            "Only 100644 and 100755 are made by a patch.",
        )
    if file.creates or _creates_silently(file, target, draft.tree):
        _create(file, target, draft)
    elif file.deletes:
        _delete(file, target, draft)
    else:
        _change(file, source, target, draft)


def _creates_silently(file: FileDiff, path: str, tree: VirtualTree) -> bool:
    """A diff from nothing (`@@ -0,0`) for a file that is not there means a new file, whatever its header says."""
    return tree.kind(path) is None and [(hunk.line_hint, hunk.old) for hunk in file.hunks] == [(0, ())]


def _create(file: FileDiff, path: str, draft: Draft) -> None:
    if any(hunk.old for hunk in file.hunks):
        raise Refusal(
            "malformed",
            path,
            f"{path} is said to be new, but its hunk has context or deleted lines",
            f"Put + before every line of a new file; to change an existing one, write --- a/{path}.",
        )
    data = b"".join(line for hunk in file.hunks for line in hunk.inserted)
    if not file.problems:
        draft.tree.create(path, File(data, _MODES[file.mode] or "100644"))
        for hunk in file.hunks:
            draft.place(path, 1, "exact", hunk.number)


def _delete(file: FileDiff, path: str, draft: Draft) -> None:
    before = draft.tree.text_file(path) if file.hunks else draft.tree.file(path)
    after = placed_edits(file.hunks, before, path, draft)
    if after is None or file.problems:
        return
    if after:
        raise Refusal(
            "conflict",
            path,
            f"the diff deletes {path}, but the file holds more than the lines it deletes",
            "Send a delete change for the file, or a diff that deletes every line it holds now.",
        )
    draft.tree.delete(path)


def _change(file: FileDiff, source: str, target: str, draft: Draft) -> None:
    if file.said == "rename":
        draft.tree.move(source, target)
    elif file.said == "copy":
        draft.tree.create(target, draft.tree.file(source))
    before = draft.tree.text_file(target) if file.hunks else draft.tree.file(target)
    after = placed_edits(file.hunks, before, target, draft)
    if after is not None:
        draft.tree.write(target, File(after, _MODES[file.mode] or before.mode))

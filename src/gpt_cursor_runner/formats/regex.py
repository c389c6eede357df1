"""regex: the historical pattern and replacement, in Python's syntax, with limits
on time and on the size of the result.
"""

from __future__ import annotations

import time
from itertools import islice

import regex as engine

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES
from gpt_cursor_runner.formats.line_keys import BOM
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.formats.virtual_tree import Refusal
from gpt_cursor_runner.patch.model import Regex

TIMEOUT_SECONDS = 0.5

_FLAGS = {"i": engine.IGNORECASE, "m": engine.MULTILINE, "s": engine.DOTALL, "x": engine.VERBOSE}
_MOST_EXTRA_MATCHES = 5  # searched beyond the expected ones, to list some of them


def regex(change: Regex, plan: ChangePlan) -> None:
    """Replace every match, provided there are exactly `expect_matches` of them."""
    with plan.collect_refusals(change.path):
        file = plan.tree.text_file(change.path)
        pattern = _compile(change, plan)
        if pattern is not None:
            _replace_matches(pattern, change, file, plan)


def _replace_matches(
    pattern: engine.Pattern[str], change: Regex, file: File, plan: ChangePlan
) -> None:
    bom, data = _split_bom(file.data)
    # Undecodable bytes become lone surrogates, which are encoded to the same
    # bytes again.
    subject = data.decode("utf-8", "surrogateescape")
    matches = _find_matches(pattern, subject, change, plan)
    if matches is None:
        return
    text = Text(file.data)
    lines: list[int] = []
    for match in matches[:_MOST_EXTRA_MATCHES]:
        offset = len(bom) + len(_encode(subject[: match.start()]))
        lines.append(text.line_of(offset))
    if len(matches) != change.expect_matches:
        _add_count_fault(change, len(matches), text, lines, plan)
        return
    replaced = _replace(change, subject, matches, plan)
    if replaced is not None:
        plan.tree.write(change.path, File(bom + _encode(replaced), file.mode))
        plan.add_placed_hunk(change.path, lines[0], "regex")


def _split_bom(data: bytes) -> tuple[bytes, bytes]:
    if data.startswith(BOM):
        return BOM, data.removeprefix(BOM)
    return b"", data


def _find_matches(
    pattern: engine.Pattern[str], subject: str, change: Regex, plan: ChangePlan
) -> list[engine.Match[str]] | None:
    """The matches, and a few more than are expected at most; None, with a fault,
    when the search takes too long.
    """
    started = time.monotonic()
    limit = min(TIMEOUT_SECONDS, max(plan.budget.seconds_left, 0.001))
    try:
        matches = pattern.finditer(subject, timeout=limit)
        return list(islice(matches, change.expect_matches + _MOST_EXTRA_MATCHES))
    except TimeoutError:
        plan.add_fault(
            "limit",
            f"the pattern needed more than the {limit:.1f} seconds that it may take on"
            f" {change.path}",
            "Avoid nested repetition such as (a+)+, or send a str_replace instead.",
            member="pattern",
            path=change.path,
        )
        return None
    finally:
        plan.budget.seconds_left -= time.monotonic() - started


def _compile(change: Regex, plan: ChangePlan) -> engine.Pattern[str] | None:
    flags = engine.VERSION0
    for letter in change.flags:
        flags |= _FLAGS[letter]
    try:
        return engine.compile(change.pattern, flags)
    except (engine.error, RecursionError, OverflowError, ValueError) as error:
        message = _describe_error(error)
        plan.add_fault(
            "malformed",
            f"the pattern is not a regular expression: {message}",
            "Correct the pattern; escape literal special characters with a backslash.",
            member="pattern",
            path=change.path,
        )
        return None


def _describe_error(error: Exception) -> str:
    message = getattr(error, "msg", "") or "it cannot be compiled"
    position = getattr(error, "pos", None)
    if position is None:
        return message
    return f"{message}, at character {position + 1} of the pattern"


def _add_count_fault(
    change: Regex, count: int, text: Text, lines: list[int], plan: ChangePlan
) -> None:
    if count < change.expect_matches:
        code, counted = "no_match", f"{count}"
        step = (
            "Compare the pattern with the current file, or send the actual number as"
            " expect_matches."
        )
    else:
        code, counted = "ambiguous", f"{count}"
        # The search stopped there, so there may be more.
        if count == change.expect_matches + _MOST_EXTRA_MATCHES:
            counted = f"at least {count}"
        step = (
            "Make the pattern narrower, with more of the text around the right place, or send the"
            " actual number as expect_matches."
        )
    candidates: tuple[str, ...] = ()
    if text.lines:
        candidates = tuple(map(text.candidate, lines))
    plan.add_fault(
        code,
        f"the pattern has {counted} matches in {change.path}, not the expected"
        f" {change.expect_matches}",
        step,
        member="pattern",
        path=change.path,
        candidates=candidates,
    )


def _replace(
    change: Regex, subject: str, matches: list[engine.Match[str]], plan: ChangePlan
) -> str | None:
    pieces: list[str] = []
    copied = size = 0
    for match in matches:
        size += _most_characters(change.replacement, match)
        if size + len(subject) > MAX_FILE_BYTES:
            raise Refusal(
                "too_large",
                change.path,
                f"{change.path} could grow beyond {MAX_FILE_BYTES} bytes",
                "Replace fewer places, or with shorter text.",
            )
        try:
            expanded = match.expand(change.replacement)
            _encode(expanded)
        except (engine.error, IndexError, UnicodeEncodeError) as error:
            plan.add_fault(
                "malformed",
                f"the replacement is not a template: {error}",
                r"Refer to groups as \1 or \g<name>; write a literal backslash as \\.",
                member="replacement",
                path=change.path,
            )
            return None
        pieces += (subject[copied : match.start()], expanded)
        copied = match.end()
    return "".join((*pieces, subject[copied:]))


def _most_characters(replacement: str, match: engine.Match[str]) -> int:
    """The longest possible expansion of the replacement, known before it is
    built: each backslash may insert the longest group.
    """
    longest = max((match[0], *match.groups("")), key=len)
    return len(replacement) + replacement.count("\\") * len(longest)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

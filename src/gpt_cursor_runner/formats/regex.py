"""regex: the historical pattern and replacement, in Python's syntax, with a
limit on its time and on its outcome.
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


def regex(change: Regex, plan: ChangePlan) -> None:
    """Replace every match, provided there are exactly `expect_matches` of them."""
    with plan.collect_refusals(change.path):
        file = plan.tree.text_file(change.path)
        pattern = _compiled(change, plan)
        if pattern is None:
            return
        bom = BOM if file.data.startswith(BOM) else b""
        # Undecodable bytes travel as lone surrogates, so that what is not
        # matched comes back as it was.
        subject = file.data.removeprefix(bom).decode("utf-8", "surrogateescape")
        matches = _found(pattern, subject, change, plan)
        if matches is None:
            return
        text = Text(file.data)
        lines = [
            text.line_of(len(bom) + len(_bytes(subject[: match.start()]))) for match in matches[:5]
        ]
        if len(matches) != change.expect_matches:
            _miscounted(
                change,
                len(matches),
                tuple(text.candidate(line) for line in lines if text.lines),
                plan,
            )
            return
        replaced = _replaced(change, subject, matches, plan)
        if replaced is not None:
            plan.tree.write(change.path, File(bom + _bytes(replaced), file.mode))
            plan.add_placed_hunk(change.path, lines[0], "regex")


def _found(
    pattern: engine.Pattern[str], subject: str, change: Regex, plan: ChangePlan
) -> list[engine.Match[str]] | None:
    """The matches, some more than are expected at most; None, with a fault,
    when searching takes too long.
    """
    began = time.monotonic()
    limit = min(TIMEOUT_SECONDS, max(plan.budget.seconds_left, 0.001))
    try:
        return list(islice(pattern.finditer(subject, timeout=limit), change.expect_matches + 5))
    except TimeoutError:
        plan.add_fault(
            "limit",
            f"the pattern needed more than {limit:.1f} seconds on {change.path}, which was all"
            " it had",
            "Avoid nested repetition such as (a+)+, or send a str_replace instead.",
            member="pattern",
            path=change.path,
        )
        return None
    finally:
        plan.budget.seconds_left -= time.monotonic() - began


def _compiled(change: Regex, plan: ChangePlan) -> engine.Pattern[str] | None:
    flags = engine.VERSION0
    for letter in change.flags:
        flags |= _FLAGS[letter]
    try:
        return engine.compile(change.pattern, flags)
    except (engine.error, RecursionError, OverflowError, ValueError) as bad:
        at = getattr(bad, "pos", None)
        where = "" if at is None else f", at character {at + 1} of the pattern"
        reason = getattr(bad, "msg", "") or "it cannot be compiled"
        plan.add_fault(
            "malformed",
            f"the pattern is not a regular expression: {reason}{where}",
            "Correct the pattern; escape characters that are meant literally with a backslash.",
            member="pattern",
            path=change.path,
        )
        return None


def _miscounted(change: Regex, count: int, candidates: tuple[str, ...], plan: ChangePlan) -> None:
    few = count < change.expect_matches
    found = f"{count}" if few or count < change.expect_matches + 5 else f"at least {count}"
    plan.add_fault(
        "no_match" if few else "ambiguous",
        f"the pattern matches {change.path} at {found} places, expected were"
        f" {change.expect_matches}",
        (
            "Compare the pattern with the file as it is now, or send the true number as"
            " expect_matches."
            if few
            else (
                "Make the pattern narrower, with text around the place meant, or send the true"
                " number as expect_matches."
            )
        ),
        member="pattern",
        path=change.path,
        candidates=candidates,
    )


def _replaced(
    change: Regex, subject: str, matches: list[engine.Match[str]], plan: ChangePlan
) -> str | None:
    pieces: list[str] = []
    done = size = 0
    for match in matches:
        # Each reference can bring in a whole group, so the size is bounded
        # before anything is built.
        longest = max(len(group or "") for group in (match[0], *match.groups()))
        size += len(change.replacement) + change.replacement.count("\\") * longest
        if size + len(subject) > MAX_FILE_BYTES:
            raise Refusal(
                "too_large",
                change.path,
                f"{change.path} could grow beyond {MAX_FILE_BYTES} bytes",
                "Replace fewer places or by less.",
            )
        try:
            expanded = match.expand(change.replacement)
            _bytes(expanded)
        except (engine.error, IndexError, UnicodeEncodeError) as bad:
            plan.add_fault(
                "malformed",
                f"the replacement is not a template: {bad}",
                r"Refer to groups as \1 or \g<name>; write a literal backslash as \\.",
                member="replacement",
                path=change.path,
            )
            return None
        pieces += (subject[done : match.start()], expanded)
        done = match.end()
    return "".join((*pieces, subject[done:]))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

"""Advice for a sender who gets the same refusal repeatedly: to send the whole
file instead of corrected hunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gpt_cursor_runner.patch.faults import Fault, PatchRefused

# Codes of faults in how a hunk was written, not in the change it makes. A sender
# who cannot see the file meets them.
_HUNK_CODES = frozenset({"no_match", "ambiguous", "malformed", "truncated"})
_MANY_TIMES = 3

Kind = tuple[str, str]  # the code and the path of a fault; the path may be ""


def kinds(faults: Iterable[Fault]) -> list[Kind]:
    """The kinds of fault that sending the whole file would avoid, each once."""
    return list(dict.fromkeys(_kind(fault) for fault in faults if fault.code in _HUNK_CODES))


def advised(refused: PatchRefused, times: Mapping[Kind, int]) -> PatchRefused:
    """The same refusal, with advice in each fault of a kind that occurred three
    times or more. `times` counts this refusal as well.
    """
    faults = [_with_advice(fault, times.get(_kind(fault), 0)) for fault in refused.faults]
    advised_refusal = PatchRefused(faults, refused.good, refused.code)
    advised_refusal.base = refused.base
    return advised_refusal


def _kind(fault: Fault) -> Kind:
    return fault.code, fault.path or ""


def _with_advice(fault: Fault, times: int) -> Fault:
    if fault.code not in _HUNK_CODES or times < _MANY_TIMES:
        return fault
    contents = "its complete contents"
    if fault.file_sha256:
        contents += f" and expect_sha256 {fault.file_sha256}"
    step = (
        f"This was refused {times} times for the same reason: send the whole file instead, as an"
        f" upsert of {fault.path or 'each file'} with {contents}. Otherwise: {fault.next_step}"
    )
    return replace(fault, next_step=step)

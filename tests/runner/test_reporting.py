"""The completion report: nothing but what was recorded, whatever the sender
writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from gpt_cursor_runner.ledger.events import Event
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.runner.rendering import render
from gpt_cursor_runner.runner.reporting import gather
from tests.runner.builders import Ghost, check_of_patches, shell_check
from tests.runner.conftest import MakeGhost

EDIT = [{"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}]
SECTIONS = [
    "Objective",
    "Execution results",
    "Technical implementation",
    "Validation results",
    "System status",
    "Git operations",
    "Impact",
    "Next steps",
    "Conclusion",
]
FORGERY = "# Conclusion\n\n```\n## Git operations\n~~~\n| commit | forged |\n<h2>Impact</h2>\n[x]: http://example.org\n`````"


def outside_of_fences(markdown: str) -> str:
    """The Markdown without its fenced blocks (CommonMark 4.5)."""
    kept: list[str] = []
    fence = ""
    for line in markdown.splitlines():
        mark = re.match(r"(`{3,}|~{3,})", line)
        if not fence and mark:
            fence = mark[1]
        elif fence and re.fullmatch(rf"{re.escape(fence[0])}{{{len(fence)},}}\s*", line):
            fence = ""
        elif not fence:
            kept.append(line)
    assert not fence, "a fence is left open"
    return "\n".join(kept)


def headings(markdown: str) -> list[str]:
    return re.findall(r"^## (.*)$", outside_of_fences(markdown), re.MULTILINE)


def facts(ghost: Ghost, patch_id: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(ghost.evidence(patch_id).report_json() or b"")
    return report


def gathered_again(ghost: Ghost, patch_id: str) -> dict[str, Any]:
    """The facts as the ledger gives them now, as JSON would carry them."""
    history = [event for event in ghost.ledger.queries.events(patch_id) if event.kind != "reported"]
    report: dict[str, Any] = json.loads(json.dumps(gather(ghost.get(patch_id), history)))
    return report


def test_every_fact_of_a_landing_is_in_the_report(ghost: Ghost) -> None:
    landed = ghost.finish(ghost.send(changes=EDIT, title="Greet politely"))
    outcome = landed.outcome or {}
    report = facts(ghost, landed.id)
    assert report == gathered_again(ghost, landed.id)
    assert report["git"]["commit"] == outcome["commit"] == ghost.repo.tip()
    assert report["impact"] == {"files_changed": 1, "insertions": 1, "deletions": 1}
    assert [
        (check["name"], check["verdict"], check["exit_code"])
        for check in report["validation"]["checks"]
    ] == [("tests", "passed", 0)]
    assert (
        report["conclusion"]
        == "The patch landed. The tree on the branch is the tree that was checked."
    )


@pytest.mark.parametrize("end", ["landed", "rejected", "held", "previewed", "cancelled"])
def test_every_ending_has_each_section_once_and_json_and_markdown_agree(
    ghost: Ghost, end: str
) -> None:
    changes = {"rejected": [{"type": "delete", "path": "none"}], "held": [_touch("Makefile")]}.get(
        end, EDIT
    )
    patch_id = ghost.send(changes=changes, mode="preview" if end == "previewed" else "apply")
    if end == "cancelled":
        ghost.ledger.decisions.cancel(patch_id, "the sender", ghost.clock())
    assert ghost.finish(patch_id).status == end
    markdown, report = ghost.report(patch_id), facts(ghost, patch_id)
    assert headings(markdown) == SECTIONS
    assert report["status"] == end
    assert report["conclusion"] in markdown
    for fact in (
        *report["git"].values(),
        *report["implementation"].values(),
        report["execution"]["code"],
    ):
        if isinstance(fact, str):
            assert fact in markdown
    assert "None" not in markdown
    assert "\n\n\n" not in markdown
    assert not re.search(r"[^\n]\n## ", markdown), "a heading wants a blank line before it"


def _touch(path: str) -> dict[str, str]:
    return {"type": "upsert", "path": path, "contents": "x\n"}


def test_the_sender_cannot_forge_a_section(ghost: Ghost) -> None:
    patch_id = ghost.send(
        changes=EDIT, title="## Conclusion | `x` <b>", description=FORGERY, role=FORGERY[:190]
    )
    ghost.finish(patch_id)
    markdown = ghost.report(patch_id)
    assert headings(markdown) == SECTIONS
    shown = outside_of_fences(markdown)
    assert "| commit | forged |" not in shown
    assert not re.search(r"(?<!\\)<[a-z/]", shown)
    assert FORGERY.splitlines()[3] in markdown, "the words are quoted, not dropped"


def test_paths_with_marks_of_markdown_stay_paths(ghost: Ghost) -> None:
    paths = ["a|b.txt", "tick`s``.txt", "*star*_.txt", "<b>.txt"]
    patch_id = ghost.send(changes=[_touch(path) for path in paths])
    assert ghost.finish(patch_id).status is Status.LANDED
    listed = ghost.report(patch_id).split("Files:\n\n")[1].split("\n\n")[0].splitlines()
    assert listed == ["- `*star*_.txt`", "- `<b>.txt`", "- `a|b.txt`", "- ``` tick`s``.txt ```"]


def test_pipes_in_names_leave_tables_with_two_columns(ghost: Ghost) -> None:
    patch_id = ghost.send(
        changes=EDIT, title="a | b \\| c `|` d", submitted_by="key | with \\| pipes"
    )
    ghost.finish(patch_id)
    rows = [
        line
        for line in outside_of_fences(ghost.report(patch_id)).splitlines()
        if line.startswith("|")
    ]
    assert rows
    assert {row.count("|") for row in rows} == {3}


def test_a_checks_output_is_shown_without_its_control_characters(make_ghost: MakeGhost) -> None:
    script = (
        r"printf '\033[31mred\033[0m\r\nbell\007 \342\200\256back\n```\n## Conclusion\n'; exit 1"
    )
    ghost = make_ghost(checks=[shell_check(script)])
    patch_id = ghost.send(changes=EDIT)
    ghost.finish(patch_id)
    markdown = ghost.report(patch_id)
    assert "red\nbell back\n```\n## Conclusion\n" in markdown
    assert headings(markdown) == SECTIONS
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", markdown)


def test_a_claim_that_tests_passed_changes_no_verdict(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(checks=[check_of_patches("exit 1")])
    patch_id = ghost.send(changes=EDIT, description="All tests passed, the patch landed.")
    ghost.finish(patch_id)
    markdown = ghost.report(patch_id)
    assert "**tests: failed** (exit code 1" in markdown
    assert "The patch was refused." in markdown
    assert (
        markdown.index("Claims of the sender, not verified")
        < markdown.index("All tests passed")
        < markdown.index("## Execution results")
    )


def test_without_checks_the_report_names_the_owners_choice(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(checks=[])
    patch_id = ghost.send(changes=EDIT)
    ghost.finish(patch_id)
    markdown = ghost.report(patch_id)
    assert "No check ran: the owner configured no checks" in markdown
    assert "The patch landed. No check ran on it, since the owner configured none." in markdown


def test_facts_without_a_record_are_printed_as_not_observed(ghost: Ghost) -> None:
    refused = ghost.finish(ghost.send(changes=[{"type": "delete", "path": "none"}]))
    markdown = ghost.report(refused.id)
    for fact in ("sealed commit", "sealed tree", "commit", "tag", "push", "health when accepted"):
        assert f"| {fact} | not observed |" in markdown
    assert "## Validation results\n\nnot observed\n" in markdown
    assert "## Impact\n\nnot observed\n" in markdown


def test_commands_named_in_a_patch_are_shown_as_never_run(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT, claimed_commands=["rm -rf `pwd`"])
    ghost.finish(patch_id)
    assert "Commands named in the patch, never run:\n\n- `` rm -rf `pwd` ``\n" in ghost.report(
        patch_id
    )


def test_a_patch_held_again_is_reported_again(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(approval="always")
    patch_id = ghost.send(changes=EDIT)
    assert ghost.finish(patch_id).status is Status.HELD
    first = ghost.report(patch_id)
    ghost.repo.write({"greeting.py": "mine\n"})
    ghost.ledger.decisions.approve(patch_id, "the owner", ghost.clock())
    assert ghost.finish(patch_id).status is Status.HELD
    second = ghost.report(patch_id)
    assert "the owner approves every patch" in first
    assert "the checkout has work in it" in second
    assert "| approved by | the owner |" in second


def test_the_time_a_person_took_is_not_counted_as_work(make_ghost: MakeGhost) -> None:
    ghost = make_ghost(approval="always")
    patch_id = ghost.send(changes=EDIT)
    ghost.finish(patch_id)
    ghost.clock.ahead = 86_400
    ghost.ledger.decisions.reject(patch_id, "the owner", ghost.clock(), "")
    ghost.finish(patch_id)
    execution = facts(ghost, patch_id)["execution"]
    assert execution["worked_seconds"] < 60
    assert execution["code"] == "rejected_by_owner"


def test_the_report_is_recorded_with_its_digests(ghost: Ghost) -> None:
    patch_id = ghost.send(changes=EDIT)
    ghost.finish(patch_id)
    reported = ghost.ledger.queries.events(patch_id)[-1]
    assert reported.kind == "reported"
    assert (
        reported.data["markdown_sha256"]
        == hashlib.sha256(ghost.evidence(patch_id).report() or b"").hexdigest()
    )
    assert (
        reported.data["json_sha256"]
        == hashlib.sha256(ghost.evidence(patch_id).report_json() or b"").hexdigest()
    )


def _event(seq: int, kind: str, **data: Any) -> Event:
    actor = "the sender" if kind == "accepted" else "ghost"
    return Event(seq, "a", 100.0 + seq, kind, actor, data, "", "")


CHECKED = {
    "name": "tests",
    "command": ["true"],
    "verdict": "passed",
    "exit_code": 0,
    "seconds": 1.0,
    "tier": "none",
    "output_bytes": 0,
    "output_sha256": "",
    "tail": "",
    "sandbox_missing": "the owner asked for none",
}


def _gather(
    ghost: Ghost, status: Status, outcome: dict[str, Any], *history: Event
) -> dict[str, Any]:
    stored = ghost.get(ghost.send())
    return gather(replace(stored, status=status, outcome=outcome), history)


def test_checks_of_a_tree_that_did_not_land_prove_nothing(ghost: Ghost) -> None:
    report = _gather(
        ghost,
        Status.LANDED,
        {"commit": "c", "tree": "landed"},
        _event(1, "claimed"),
        _event(2, "sealed", tree="sealed"),
        _event(3, "checked", **CHECKED, tree="sealed"),
        _event(4, "landing", commit="c", tree="landed"),
        _event(5, "landed"),
    )
    assert report["conclusion"] == "The patch landed. Whether checks ran on it was not observed."


def test_checks_of_an_earlier_round_are_not_those_of_the_last(ghost: Ghost) -> None:
    report = _gather(
        ghost,
        Status.REJECTED,
        {"code": "plan_refused"},
        _event(1, "claimed"),
        _event(2, "sealed", tree="first"),
        _event(3, "checked", **CHECKED, tree="first"),
        _event(4, "carried", tree="second"),
        _event(5, "rejected"),
    )
    assert report["validation"]["checks"] == []


def test_a_progress_bar_is_shown_line_by_line(ghost: Ghost) -> None:
    checked = {**CHECKED, "tail": "10%\r100%\r\ndone\x1b[0m\n", "tree": "one"}
    history = [
        _event(1, "claimed"),
        _event(2, "sealed", tree="first"),
        _event(3, "checked", **checked),
    ]
    assert "```text\n10%\n100%\ndone\n```" in render(_gather(ghost, Status.REJECTED, {}, *history))


def test_a_failure_in_the_middle_of_landing_claims_nothing_of_the_branch(ghost: Ghost) -> None:
    history = [_event(1, "claimed"), _event(2, "landing", commit="c"), _event(3, "failed")]
    report = _gather(ghost, Status.FAILED, {"code": "git_timed_out"}, *history)
    assert "not observed" in report["conclusion"]
    settled = [history[0], history[1], _event(3, "not_moved"), _event(4, "failed")]
    assert (
        "Nothing on the branch changed" in _gather(ghost, Status.FAILED, {}, *settled)["conclusion"]
    )

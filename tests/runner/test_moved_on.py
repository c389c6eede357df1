"""Patches made for what the branch held once: landed merged, or refused with
the text of the conflict.
"""

from __future__ import annotations

from typing import Any

import pytest

from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.status import Status
from tests.runner.builders import Ghost

LINES = [f"line {number}\n" for number in range(1, 11)]
HUNK = "@@ -2,5 +2,5 @@\n line 2\n line 3\n-line 4\n+four\n line 5\n line 6\n"


def held(**lines: str) -> str:
    return "".join(lines.get(f"n{number}", line) for number, line in enumerate(LINES, 1))


@pytest.fixture
def moved(ghost: Ghost) -> Ghost:
    """A branch whose tip no longer holds line 6 as the patch knows it; `base`
    is the commit that does.
    """
    ghost.repo.commit({"long.txt": held()})
    ghost.repo.run("branch", "base")
    ghost.repo.commit({"long.txt": held(n1="first\nof all\n", n6="something else\n")})
    return ghost


def change(ghost: Ghost) -> list[dict[str, str]]:
    """A diff as git writes it for the version at `base`."""
    blob = ghost.repo.tip("base:long.txt")
    head = (
        f"diff --git a/long.txt b/long.txt\nindex {blob[:10]}..1234567 100644\n--- a/long.txt\n+++"
        " b/long.txt\n"
    )
    return [{"type": "unified_diff", "text": head + HUNK}]


def only_fault(refused: StoredPatch) -> dict[str, Any]:
    assert refused.status is Status.REJECTED
    assert refused.outcome is not None
    (fault,) = refused.outcome["errors"]
    assert isinstance(fault, dict)
    return fault


@pytest.mark.parametrize("how", [{"base": True}, {"tolerance": "merge"}])
def test_a_change_that_fits_only_the_version_it_was_made_for_lands_merged(
    moved: Ghost, how: dict[str, object]
) -> None:
    how = {"base": moved.repo.tip("base")} if "base" in how else how
    assert (
        only_fault(moved.finish(moved.send(id="without", changes=change(moved))))["code"]
        == "no_match"
    )
    landed = moved.finish(moved.send(id="with", changes=change(moved), **how))
    assert landed.status is Status.LANDED
    assert moved.repo.show("long.txt") + "\n" == held(
        n1="first\nof all\n", n4="four\n", n6="something else\n"
    )


@pytest.mark.parametrize("how", [{"base": True}, {"tolerance": "merge"}])
def test_a_conflict_is_refused_with_the_text_of_both_sides(
    moved: Ghost, how: dict[str, object]
) -> None:
    how = {"base": moved.repo.tip("base")} if "base" in how else how
    moved.repo.commit({"long.txt": held(n4="quatre\n")})
    before = moved.repo.state()
    fault = only_fault(moved.finish(moved.send(changes=change(moved), **how)))
    assert (fault["code"], fault["path"]) == ("conflict", "long.txt")
    assert fault["expected"][:5] == [
        "<<<<<<< the branch",
        "quatre",
        "=======",
        "four",
        ">>>>>>> the patch",
    ]
    assert fault["next_step"]
    assert moved.repo.state() == before

"""A patch that expects a plan lands with that plan or not at all, however late
it is its turn.
"""

from __future__ import annotations

from gpt_cursor_runner.patch.status import Status
from tests.runner.builders import Ghost

EDIT = [{"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}]


def planned(ghost: Ghost, patch_id: str) -> str:
    (event,) = [one for one in ghost.ledger.queries.events(patch_id) if one.kind == "planned"]
    return str(event.data["plan_digest"])


def seen(ghost: Ghost) -> str:
    """The digest of the plan, found out by a recorded preview."""
    patch_id = ghost.send(changes=EDIT, mode="preview")
    assert ghost.finish(patch_id).status is Status.PREVIEWED
    return planned(ghost, patch_id)


def test_the_plan_that_was_expected_lands(ghost: Ghost) -> None:
    digest = seen(ghost)
    ghost.repo.commit({"README.md": "# Another file changed\n"})
    landed = ghost.finish(patch_id := ghost.send(changes=EDIT, expect_plan=digest))
    assert landed.status is Status.LANDED
    assert planned(ghost, patch_id) == digest


def test_another_plan_is_refused_and_nothing_changes(ghost: Ghost) -> None:
    digest = seen(ghost)
    ghost.repo.commit({"greeting.py": f"# Newer\n{ghost.repo.show('greeting.py')}\n"})
    before = ghost.repo.state()
    refused = ghost.finish(ghost.send(changes=EDIT, expect_plan=digest))
    assert (refused.status, ghost.repo.state()) == (Status.REJECTED, before)
    assert refused.outcome is not None
    (error,) = refused.outcome["errors"]
    assert (error["code"], error["pointer"]) == ("base_mismatch", "/expect_plan")
    assert refused.outcome["base"] == ghost.repo.tip()

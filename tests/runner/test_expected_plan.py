"""A patch that expects a plan lands with that plan or not at all, however long
it waited in the queue.
"""

from __future__ import annotations

from gpt_cursor_runner.patch.status import Status
from tests.runner.builders import Ghost

EDIT = [{"type": "str_replace", "path": "greeting.py", "old": '"hi"', "new": '"hello"'}]


def plan_digest(ghost: Ghost, patch_id: str) -> str:
    (event,) = ghost.events(patch_id, "planned")
    return str(event.data["plan_digest"])


def previewed_digest(ghost: Ghost) -> str:
    """The digest of the plan, from a recorded preview."""
    patch_id = ghost.send(changes=EDIT, mode="preview")
    assert ghost.finish(patch_id).status is Status.PREVIEWED
    return plan_digest(ghost, patch_id)


def test_the_plan_that_was_expected_lands(ghost: Ghost) -> None:
    digest = previewed_digest(ghost)
    ghost.repo.commit({"README.md": "# Another file changed\n"})
    landed = ghost.finish(patch_id := ghost.send(changes=EDIT, expect_plan=digest))
    assert landed.status is Status.LANDED
    assert plan_digest(ghost, patch_id) == digest


def test_another_plan_is_refused_and_nothing_changes(ghost: Ghost) -> None:
    digest = previewed_digest(ghost)
    ghost.repo.commit({"greeting.py": f"# Newer\n{ghost.repo.show('greeting.py')}\n"})
    before = ghost.repo.state()
    refused = ghost.finish(ghost.send(changes=EDIT, expect_plan=digest))
    assert (refused.status, ghost.repo.state()) == (Status.REJECTED, before)
    assert refused.outcome is not None
    (error,) = refused.outcome["errors"]
    assert (error["code"], error["pointer"]) == ("base_mismatch", "/expect_plan")
    assert refused.outcome["base"] == ghost.repo.tip()

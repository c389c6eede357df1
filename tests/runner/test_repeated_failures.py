"""Refusals that only the runner could come to are counted in the ledger."""

from __future__ import annotations

from typing import Any

from tests.runner.builders import Ghost

ADVICE = "send the whole file instead"


def next_step(ghost: Ghost, number: int, path: str = "greeting.py", **members: Any) -> str:
    stale = [{"type": "str_replace", "path": path, "old": "salute", "new": "welcome"}]
    refused = ghost.finish(ghost.send(id=f"stale-{number}", changes=stale, **members))
    assert refused.outcome is not None
    (error,) = refused.outcome["errors"]
    assert error["code"] == "no_match"
    return str(error["next_step"])


def test_the_third_rejection_of_the_same_kind_advises_to_send_the_whole_file(ghost: Ghost) -> None:
    ghost.repo.commit({"other.py": "x\n"})
    assert ADVICE not in next_step(ghost, 1)
    assert ADVICE not in next_step(ghost, 2)
    assert ADVICE not in next_step(ghost, 3, path="other.py")
    assert "upsert of greeting.py" in next_step(ghost, 4)

import pytest

from gpt_cursor_runner.patch.status import FINAL, MOVES, Status, may_move

LEGAL = {
    ("queued", "running"), ("queued", "cancelled"),
    ("running", "landed"), ("running", "held"), ("running", "rejected"), ("running", "failed"),
    ("running", "previewed"), ("running", "cancelled"), ("running", "queued"),
    ("held", "queued"), ("held", "rejected"),
    ("failed", "queued"),
}  # fmt: skip


@pytest.mark.parametrize("old", Status)
@pytest.mark.parametrize("to", Status)
def test_exactly_the_moves_of_the_contract_are_legal(old, to):
    assert may_move(old, to) == ((old, to) in LEGAL)


def test_a_landed_or_rejected_patch_stays_so():
    assert not {Status.LANDED, Status.REJECTED, Status.PREVIEWED, Status.CANCELLED} & set(MOVES)


def test_a_state_is_final_exactly_when_the_runner_has_nothing_left_to_do():
    assert set(Status) - FINAL == {Status.QUEUED, Status.RUNNING, Status.HELD}

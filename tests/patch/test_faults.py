import pytest

from gpt_cursor_runner.patch.faults import (
    Closest,
    Fault,
    FirstDifference,
    HumanNeeded,
    Refused,
    WorldFailed,
)

SMALL = Fault(
    "no_match", "it does not fit", "Correct it.", pointer="/changes/0/text", change=0, hunk=0
)
LARGE = Fault(
    "no_match",
    "it does not fit",
    "Correct it.",
    pointer="/changes/1/text",
    change=1,
    hunk=2,
    path="a.py",
    patch_line=3,
    expected=("x", "y"),
    closest=Closest(4, 0.9, "    4 | x", FirstDifference(2, 4, "y", "x", "content")),
    candidates=("b.py",),
    file_sha256="0" * 64,
    rungs_tried=("exact",),
)


def test_the_json_of_a_fault_has_no_empty_members_but_has_change_zero():
    assert SMALL.to_json() == {
        "pointer": "/changes/0/text",
        "code": "no_match",
        "message": "it does not fit",
        "next_step": "Correct it.",
        "hint": "Correct it.",
        "change": 0,
        "hunk": 0,
    }


@pytest.mark.parametrize("fault", [SMALL, LARGE], ids=["small", "large"])
def test_a_fault_is_read_back_from_its_json(fault):
    assert Fault.from_json(fault.to_json()) == fault


def test_a_stored_fault_may_lack_members():
    assert Fault.from_json({"message": "no such line"}) == Fault("", "no such line", "")


def test_long_texts_of_the_sender_are_cut_once():
    body = Fault("no_match", "m" * 3_000, "n").to_json()
    assert len(body["message"]) == 2_000
    assert Fault.from_json(body).to_json() == body


@pytest.mark.parametrize("exception", [HumanNeeded, WorldFailed])
def test_exceptions_carry_one_fault_under_the_same_names(exception: type[Refused]):
    refused = exception("code", "message", "next step")  # type: ignore[call-arg, arg-type]
    assert refused.fault == Fault("code", "message", "next step")
    assert (refused.code, refused.message, refused.next_step) == ("code", "message", "next step")
    assert str(refused) == "message"

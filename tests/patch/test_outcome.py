from gpt_cursor_runner.patch.outcome import (
    Closest,
    Fault,
    FirstDifference,
    PatchRefused,
    PlacedHunk,
)


def test_a_fault_is_answered_without_its_empty_members_but_with_change_zero():
    fault = Fault(
        "no_match", "it does not fit", "Mend it.", pointer="/changes/0/text", change=0, hunk=0
    )
    assert fault.to_json() == {
        "pointer": "/changes/0/text", "code": "no_match", "message": "it does not fit", "next_step": "Mend it.",
        "hint": "Mend it.", "change": 0, "hunk": 0,
    }  # fmt: skip


def test_a_refusal_tells_every_fault_and_the_good_hunks():
    closest = Closest(4, 0.9, "    4 | x", FirstDifference(2, 4, "y", "x", "content"))
    refused = PatchRefused(
        [Fault("no_match", "m", "n", closest=closest)], [PlacedHunk(0, 1, "a.py", 7, "exact")]
    )
    answer = refused.to_json()
    assert answer["code"] == "plan_refused"
    assert answer["errors"][0]["closest"]["first_difference"]["actual"] == "x"
    assert answer["good"] == [
        {"change": 0, "hunk": 1, "path": "a.py", "line": 7, "rung": "exact", "similarity": 1.0}
    ]

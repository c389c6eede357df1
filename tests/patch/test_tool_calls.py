import pytest

from gpt_cursor_runner.patch.model import ApplyPatch, Delete, Insert, Move, StrReplace, Upsert
from gpt_cursor_runner.patch.parsing import parse_patch
from gpt_cursor_runner.patch.tool_calls import lift_call
from tests.patch.builders import body, codes_and_pointers

REPLACED = StrReplace(type="str_replace", path="a.py", old="x", new="y")
INSERTED = Insert(type="insert", path="a.py", after_line=3, text="x")
CREATED = Upsert(type="upsert", path="a.py", contents="x", on_exists="refuse")
PATCHED = ApplyPatch(type="apply_patch", path="a.py", text="@@\n-x\n+y")

CALLS = [
    ({"command": "str_replace", "path": "a.py", "old_str": "x", "new_str": "y"}, REPLACED),
    ({"path": "a.py", "old_str": "x", "new_str": "y"}, REPLACED),
    (
        {"path": "a.py", "old_str": "x", "new_str": "y", "insert_line": None, "view_range": None},
        REPLACED,
    ),
    ({"type": "str_replace", "path": "a.py", "old_str": "x", "new_str": "y"}, REPLACED),
    ({"file_path": "a.py", "old_string": "x", "new_string": "y"}, REPLACED),
    (
        {"command": "str_replace", "path": "a.py", "old_str": "x"},
        REPLACED.model_copy(update={"new": ""}),
    ),
    ({"command": "insert", "path": "a.py", "insert_line": 3, "insert_text": "x"}, INSERTED),
    ({"path": "a.py", "insert_line": 3, "new_str": "x"}, INSERTED),
    ({"command": "create", "path": "a.py", "file_text": "x"}, CREATED),
    ({"path": "a.py", "file_text": "x"}, CREATED),
    ({"file_path": "a.py", "content": "x"}, Upsert(type="upsert", path="a.py", contents="x")),
    ({"type": "update_file", "path": "a.py", "diff": "@@\n-x\n+y"}, PATCHED),
    (
        {"type": "update_file", "path": "a.py", "diff": "@@\n-x\n+y", "move_to": "b.py"},
        PATCHED.model_copy(update={"to": "b.py"}),
    ),
    (
        {"type": "update_file", "path": "a.py", "move_to": "b.py"},
        Move(type="move", from_="a.py", to="b.py"),
    ),
    (
        {"type": "create_file", "path": "a.py", "diff": "+x"},
        ApplyPatch(type="apply_patch", path="a.py", text="+x", create=True),
    ),
    (
        {"type": "create_file", "path": "a.py", "diff": ""},
        CREATED.model_copy(update={"contents": ""}),
    ),
    ({"type": "delete_file", "path": "a.py", "diff": None}, Delete(type="delete", path="a.py")),
    ({"type": "apply_patch", "input": "***"}, ApplyPatch(type="apply_patch", text="***")),
    ({"type": "apply_patch", "patch": "***"}, ApplyPatch(type="apply_patch", text="***")),
    (
        {
            "type": "apply_patch_call",
            "call_id": "c",
            "operation": {"type": "delete_file", "path": "a.py"},
        },
        Delete(type="delete", path="a.py"),
    ),
    (
        {
            "type": "tool_use",
            "name": "edit",
            "input": {"command": "create", "path": "a.py", "file_text": "x"},
        },
        CREATED,
    ),
]


@pytest.mark.parametrize(("sent", "change"), CALLS)
def test_a_call_of_an_editor_tool_becomes_a_change(sent, change):
    parsed = parse_patch(body(sent))
    assert parsed.patch, parsed.faults
    assert parsed.patch.changes == (change,)


@pytest.mark.parametrize(("sent", "change"), CALLS)
def test_a_body_that_is_one_bare_call_becomes_a_patch_of_one_change(sent, change):
    parsed = parse_patch({"id": "p1", "title": "A title", "tolerance": "merge"} | sent)
    assert parsed.patch, parsed.faults
    assert (parsed.patch.changes, parsed.patch.tolerance) == ((change,), "merge")


def test_a_bare_change_of_todays_shape_keeps_its_own_mode():
    sent = {"id": "p1", "title": "t", "type": "chmod", "path": "a.py"}
    made = parse_patch(sent | {"mode": "755"}).patch
    assert made and (made.mode, made.changes[0].type) == ("apply", "chmod")
    preview = parse_patch(
        {"id": "p1", "title": "t", "type": "delete", "path": "a.py", "mode": "preview"}
    ).patch
    assert preview and preview.mode == "preview"


@pytest.mark.parametrize(
    ("sent", "faults"),
    [
        ({"path": "a", "new_str": "y"}, [("missing", "/old_str")]),
        ({"path": "a", "old_str": None, "new_str": "y"}, [("wrong_type", "/old_str")]),
        ({"path": "a", "old_str": "", "new_str": "y"}, [("string_too_short", "/old_str")]),
        ({"path": "a", "old_str": "x", "new_str": None}, [("wrong_type", "/new_str")]),
        (
            {"command": "insert", "path": "../a", "new_str": "y"},
            [("path_escape", "/path"), ("missing", "/insert_line")],
        ),
        ({"path": "a", "insert_line": "3", "new_str": "y"}, [("wrong_type", "/insert_line")]),
        (
            {"path": "a", "insert_line": 3, "new_str": "y", "insert_text": "z"},
            [("unknown_member", "/insert_text")],
        ),
        (
            {"type": "str_replace", "path": "a", "old_str": "x", "old": "z", "new": "y"},
            [("unknown_member", "/old_str")],
        ),
        ({"command": "view", "path": "a"}, [("unknown_type", "/command")]),
        ({"command": ["apply_patch"], "path": "a"}, [("unknown_type", "/command")]),
        ({"command": "create", "type": "delete", "path": "a"}, [("unknown_member", "/command")]),
        ({"type": "update_file", "path": "f"}, [("missing", "/diff")]),
        ({"type": "create_file", "path": ""}, [("path_escape", "/path"), ("missing", "/diff")]),
        (
            {"type": "update_file", "path": "f", "diff": "@@", "move_to": "a\\b"},
            [("path_escape", "/move_to")],
        ),
        (
            {"type": "apply_patch_call", "operation": {"type": "update_file", "path": "f"}},
            [("missing", "/operation/diff")],
        ),
        ({"type": "tool_use", "input": "text"}, [("unknown_type", "/type")]),
    ],
)
def test_faults_of_a_call_have_the_names_and_places_as_sent(sent, faults):
    listed = parse_patch(body({"type": "delete", "path": "b"}, sent))
    assert sorted(codes_and_pointers(listed.faults)) == sorted(
        (code, "/changes/1" + pointer) for code, pointer in faults
    )
    bare = parse_patch({"id": "p1", "title": "t"} | sent)
    assert sorted(codes_and_pointers(bare.faults)) == sorted(faults)
    assert all(
        f"'{pointer.rpartition('/')[2]}'" in fault.message
        or fault.code in ("path_escape", "unknown_type")
        for fault, (_, pointer) in zip(bare.faults, codes_and_pointers(bare.faults), strict=True)
    )


@pytest.mark.parametrize(
    "sent", [None, "text", [], {}, {"type": None}, {"type": 3}, {"path": "a"}, {"type": "nope"}]
)
def test_an_object_that_is_not_a_call_is_left_to_validation(sent):
    assert lift_call(sent).change == sent


def test_a_call_is_unwrapped_once_and_no_deeper():
    nested = {
        "type": "tool_use",
        "input": {"type": "tool_use", "input": {"type": "delete", "path": "a"}},
    }
    assert codes_and_pointers(parse_patch(body(nested)).faults) == [
        ("unknown_type", "/changes/0/input/type")
    ]


def test_a_call_without_a_title_is_a_fault_of_the_title():
    assert codes_and_pointers(
        parse_patch({"id": "p1", "path": "a", "old_str": "x", "new_str": "y"}).faults
    ) == [("missing", "/title")]

import json

import pytest

from gpt_cursor_runner.patch.parsing import CHANGE_MODELS, Unreadable, parse_patch, read_json
from tests.patch.builders import body, codes_and_pointers

MISSPELT = "string_pattern_mismatch"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": Infinity}', "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b'{"a": 1} x', "malformed_json"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "malformed_json"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate_name"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
    ],
)
def test_a_body_that_is_not_a_single_object_is_unreadable(sent, code):
    with pytest.raises(Unreadable) as unreadable:
        read_json(sent)
    assert unreadable.value.fault.code == code


def test_every_type_of_change_in_the_contract_is_known():
    assert set(CHANGE_MODELS) >= {
        "upsert", "delete", "move", "chmod", "str_replace", "insert", "unified_diff", "regex",
    }  # fmt: skip


def test_a_valid_body_becomes_a_patch_with_the_defaults():
    parsed = parse_patch(body())
    assert parsed.patch and not parsed.faults
    assert (parsed.patch.mode, parsed.patch.tolerance, parsed.patch.priority) == (
        "apply",
        "standard",
        0,
    )


def test_all_faults_are_named_at_once_each_with_a_pointer_into_the_body():
    parsed = parse_patch(
        body(
            {"type": "upsert", "path": "../x", "contents": "a"},
            {"type": "nope"},
            {"path": "x"},
            {"type": "delete", "path": "ok.py"},
            {"type": "insert", "path": "a", "after_line": "3", "text": "x", "bogus": 1},
            "not an object",
            id="p 1",
            title=" ",
            extra=1,
        )
    )
    assert parsed.patch is None
    assert codes_and_pointers(parsed.faults) == [
        ("patch_id", "/id"),
        ("empty_line", "/title"),
        ("path_escape", "/changes/0/path"),
        ("unknown_type", "/changes/1/type"),
        ("missing", "/changes/2/type"),
        ("wrong_type", "/changes/4/after_line"),
        ("unknown_member", "/changes/4/bogus"),
        ("wrong_type", "/changes/5"),
        ("unknown_member", "/extra"),
    ]
    assert [fault.change for fault in parsed.faults] == [None, None, 0, 1, 2, 4, 4, 5, None]


def test_the_valid_changes_of_a_faulty_body_keep_their_index():
    parsed = parse_patch(body({"type": "nope"}, {"type": "delete", "path": "ok.py"}))
    assert [(index, change.type) for index, change in parsed.sound] == [(1, "delete")]


def test_the_fault_of_an_unknown_type_lists_the_known_ones():
    fault = parse_patch(body({"type": "edit"})).faults[0]
    assert all(name in fault.next_step for name in CHANGE_MODELS)


def test_values_that_were_sent_are_not_repeated():
    faults = parse_patch(
        body({"type": "upsert", "path": "a", "contents": ["SECRET"]}, id="SECRET value")
    ).faults
    assert "SECRET" not in json.dumps([fault.to_json() for fault in faults])


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"type": "upsert", "path": "a"}, "contents", "/changes/0"),
        ({"type": "upsert", "path": "a", "contents": "x", "contents_b64": "eA=="}, "contents", "/changes/0"),
        ({"type": "upsert", "path": "a", "contents_b64": "!"}, "contents_b64", "/changes/0"),
        ({"type": "chmod", "path": "a", "mode": "777"}, "literal_error", "/changes/0/mode"),
        ({"type": "move", "from": "/a", "to": "b"}, "path_escape", "/changes/0/from"),
        ({"type": "str_replace", "path": "a", "old": "", "new": ""}, "string_too_short", "/changes/0/old"),
        ({"type": "regex", "path": "a", "pattern": "x", "replacement": "", "flags": "q"}, MISSPELT, "/changes/0/flags"),
        ({"type": "delete", "path": "a", "expect_sha256": "ABC"}, MISSPELT, "/changes/0/expect_sha256"),
    ],
)  # fmt: skip
def test_a_change_that_breaks_a_rule_is_pointed_at(change, code, pointer):
    assert codes_and_pointers(parse_patch(body(change)).faults) == [(code, pointer)]


def test_more_than_two_hundred_changes_are_too_many():
    change = {"type": "delete", "path": "a"}
    assert parse_patch(body(*[change] * 200)).patch
    assert codes_and_pointers(parse_patch(body(*[change] * 201)).faults) == [
        ("too_long", "/changes")
    ]


def test_an_empty_list_of_changes_is_refused():
    assert codes_and_pointers(parse_patch(body() | {"changes": []}).faults) == [
        ("too_short", "/changes")
    ]


@pytest.mark.parametrize("title", ["two\nlines", "tab\there", "\x1b[2J", "sep\u2028arated"])
def test_a_title_is_one_plain_line(title):
    assert codes_and_pointers(parse_patch(body(title=title)).faults) == [
        ("control_character", "/title")
    ]


@pytest.mark.parametrize("mode", ["755", "0755", "100755"])
def test_each_spelling_of_a_mode_is_the_same_patch(mode):
    parsed = parse_patch(body({"type": "chmod", "path": "a", "mode": mode})).patch
    plain = parse_patch(body({"type": "chmod", "path": "a", "mode": "755"})).patch
    assert parsed and plain
    assert parsed.digest() == plain.digest()


def test_another_patch_has_another_digest():
    first, other = parse_patch(body()).patch, parse_patch(body(title="Another")).patch
    assert first and other
    assert first.digest() != other.digest()


def test_a_patch_is_read_back_from_its_json():
    patch = parse_patch(
        body(
            {"type": "move", "from": "a", "to": "b"},
            {"type": "upsert", "path": "c", "contents_b64": "AA=="},
        )
    ).patch
    assert patch
    assert parse_patch(patch.to_json()).patch == patch

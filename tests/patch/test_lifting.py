from gpt_cursor_runner.patch.lifting import lift
from gpt_cursor_runner.patch.model import Chmod, Delete, Regex, Upsert
from gpt_cursor_runner.patch.parsing import parse_patch
from tests.patch.builders import body, codes_and_pointers

PATTERN = {
    "id": "patch-v3.3.31(P8.13.23)_flask-health-endpoint-hardening",
    "role": "command_patch",
    "target_file": "src/app.py",
    "patch": {"pattern": "old", "replacement": "new"},
}


def test_a_body_in_todays_shape_is_unchanged():
    assert lift(body()).body == body()
    assert lift(body()).warnings == ()


def test_a_pattern_and_its_target_become_a_regex():
    patch = parse_patch(PATTERN).patch
    assert patch
    assert patch.changes == (
        Regex(type="regex", path="src/app.py", pattern="old", replacement="new"),
    )
    assert (patch.title, patch.role, patch.identity.phase) == (
        "command_patch",
        "command_patch",
        "P8.13.23",
    )


def test_mutations_inside_a_patch_become_changes():
    patch = parse_patch(
        {
            "id": "p1",
            "description": "First line\nsecond line",
            "patch": {
                "mutations": [
                    {"path": "a.py", "contents": "x", "mode": "0755"},
                    {"op": "write", "path": "b.py", "contents": "y"},
                    {"op": "delete", "path": "c.py"},
                    {"op": "chmod", "path": "d.py", "mode": "644"},
                ]
            },
        }
    ).patch
    assert patch
    assert patch.title == "First line"
    assert [type(change) for change in patch.changes] == [Upsert, Upsert, Delete, Chmod]
    assert patch.changes[0] == Upsert(type="upsert", path="a.py", contents="x", mode="755")


def test_a_block_of_mutations_takes_its_id_from_the_block():
    patch = parse_patch({"blockId": "b1", "mutations": [{"path": "a.py", "contents": "x"}]}).patch
    assert patch
    assert (patch.id, patch.title) == ("b1", "historical patch")


def test_faults_of_a_lifted_pattern_point_into_the_body_as_sent():
    sent = {"id": "p", "target_file": "../a.py", "patch": {"pattern": 1, "replacement": "y"}}
    assert codes_and_pointers(parse_patch(sent).faults) == [
        ("path_escape", "/target_file"),
        ("wrong_type", "/patch/pattern"),
    ]


def test_faults_of_lifted_mutations_point_into_the_body_as_sent():
    mutations = [{"op": "explode", "path": "a"}, {"op": "delete", "path": "/b"}, "c"]
    inside = parse_patch({"id": "p", "patch": {"mutations": mutations}})
    assert codes_and_pointers(inside.faults) == [
        ("unknown_type", "/patch/mutations/0/op"),
        ("path_escape", "/patch/mutations/1/path"),
        ("wrong_type", "/patch/mutations/2"),
    ]
    outside = parse_patch({"blockId": "b 1", "mutations": mutations})
    assert codes_and_pointers(outside.faults)[:2] == [
        ("patch_id", "/blockId"),
        ("unknown_type", "/mutations/0/op"),
    ]


def test_commands_of_a_historical_patch_are_recorded_with_a_warning():
    sent = PATTERN | {
        "validate": {"shell": ["pytest"]},
        "postMutationBuild": {"shell": ["rm -rf /", "x"]},
    }
    parsed = parse_patch(sent)
    assert parsed.patch
    assert parsed.patch.claimed_commands == ("pytest", "rm -rf /", "x")
    assert "never run" in parsed.lifted.warnings[-1]
    assert {change.type for change in parsed.patch.changes} == {"regex"}


def test_commands_that_are_not_a_list_are_ignored_and_lists_are_bounded():
    assert lift(PATTERN | {"validate": {"shell": "rm -rf /"}}).body.get("claimed_commands") is None
    many = lift(PATTERN | {"validate": {"shell": ["x" * 5000] * 500}}).body["claimed_commands"]
    assert (len(many), len(many[0])) == (50, 1000)


def test_members_without_a_meaning_are_named_in_a_warning():
    assert any(
        "'target_branch'" in warning for warning in lift(PATTERN | {"target_branch": "x"}).warnings
    )


def test_a_body_in_no_supported_shape_is_validated_as_todays():
    assert ("missing", "/changes") in codes_and_pointers(
        parse_patch({"id": "p1", "title": "t"}).faults
    )
    assert ("missing", "/changes") in codes_and_pointers(
        parse_patch({"id": "p1", "title": "t", "patch": "text"}).faults
    )

import hashlib
import random
import zlib
from base64 import b85encode

import pytest

from tests.formats.builders import blob_id, codes, diff, only_fault, outcome, refusal
from tests.formats.trees import Scratch

OLD = random.Random(4).randbytes(3000) + b"\0"
NEW = OLD[:1000] + b"changed\0" + OLD[1100:] + OLD[:500]
FILES = {"a.bin": OLD}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return Scratch.create(tmp_path_factory.mktemp("scratch") / "scratch.git")


def told(scratch: Scratch, before: dict[str, bytes], after: dict[str, bytes], *flags: str) -> str:
    old, new = (
        {path: (data, "100644") for path, data in files.items()} for files in (before, after)
    )
    return scratch.diff(old, new, "--binary", *flags).decode()


def encoded(data: bytes, deflated: bytes | None = None, kind: str = "literal") -> str:
    """One part of a binary patch; `deflated` may lie about `data`."""
    packed = zlib.compress(data) if deflated is None else deflated
    lines = [packed[at : at + 52] for at in range(0, len(packed), 52)]
    lengths = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    body = (
        lengths[len(line) - 1] + b85encode(line + b"\0" * (-len(line) % 4)).decode()
        for line in lines
    )
    return f"{kind} {len(data)}\n" + "\n".join(body) + "\n\n"


def patch(
    part: str, before: bytes = OLD, after: bytes = NEW, path: str = "a.bin"
) -> dict[str, object]:
    ids = f"{blob_id(before)}..{blob_id(after)}"
    return diff(f"diff --git a/{path} b/{path}\nindex {ids} 100644\nGIT binary patch\n{part}")


def delta(*instructions: bytes, before: int = len(OLD), after: int = len(NEW)) -> str:
    sizes = b"".join(bytes([size & 0x7F | 0x80, size >> 7]) for size in (before, after))
    return encoded(sizes + b"".join(instructions), kind="delta")


def test_a_small_change_is_a_delta_and_the_delta_is_applied(scratch):
    text = told(scratch, FILES, {"a.bin": NEW})
    assert "\ndelta " in text
    assert outcome(FILES, diff(text)) == {"a.bin": NEW}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, FILES),
        (FILES, {}),
        (FILES, {"b.bin": OLD}),
        (FILES, {"a.bin": b"\0", "b.bin": OLD}),
        (FILES, {"a.bin": b"text\n"}),
        ({"a.bin": b""}, FILES),
        ({"a.bin": OLD, "b.bin": NEW}, {"a.bin": NEW, "b.bin": OLD}),
        ({"x/a.bin": OLD, "t.py": b"a\n"}, {"x/a.bin": NEW, "t.py": b"b\n"}),
    ],
)
def test_binary_files_come_go_move_and_change_and_the_way_back_is_known(scratch, before, after):
    text = told(scratch, before, after, "-M")
    assert outcome(before, diff(text)) == after
    assert outcome(after, diff(text, reverse=True)) == before


def test_the_last_blank_line_may_be_missing_since_the_part_proves_itself(scratch):
    text = told(scratch, FILES, {"a.bin": NEW})
    assert outcome(FILES, diff(text.rstrip("\n"))) == {"a.bin": NEW}


def test_a_binary_patch_cut_anywhere_within_its_parts_is_truncated(scratch):
    text = told(scratch, FILES, {"a.bin": OLD[::-1]}).rstrip("\n")
    whole_forward = text.index("\n\n") + 2
    for end in [
        *range(text.index("literal") + 9, whole_forward, 97),
        *range(whole_forward + 14, len(text), 97),
    ]:
        assert codes(refusal(FILES, diff(text[:end]))) == ["truncated"], text[:end][-100:]


def test_another_version_than_the_one_it_was_made_for_is_refused(scratch):
    text = told(scratch, FILES, {"a.bin": NEW})
    fault = only_fault({"a.bin": OLD + b"x"}, diff(text))
    assert (fault.code, "another version" in fault.message) == ("binary", True)


def test_shortened_blob_ids_are_refused(scratch):
    text = told(scratch, FILES, {"a.bin": NEW}).replace(blob_id(NEW), blob_id(NEW)[:12])
    assert "in full" in only_fault(FILES, diff(text)).message


def test_blob_ids_of_64_digits_are_checked_as_sha256():
    def oid(data: bytes) -> str:
        return hashlib.sha256(b"blob %d\0" % len(data) + data).hexdigest()

    text = (
        f"diff --git a/a.bin b/a.bin\nindex {oid(OLD)}..{oid(NEW)} 100644\nGIT binary"
        f" patch\n{encoded(NEW)}"
    )
    assert outcome(FILES, diff(text)) == {"a.bin": NEW}
    assert only_fault(FILES, diff(text.replace(oid(NEW), oid(b"else")))).code == "binary"


def test_a_result_other_than_the_announced_is_refused():
    assert "index line names" in only_fault(FILES, patch(encoded(NEW + b"more"))).message


@pytest.mark.parametrize(
    "part",
    [
        encoded(NEW, zlib.compress(NEW[:-1])),
        encoded(NEW, zlib.compress(NEW + b"x")),
        encoded(NEW, zlib.compress(NEW) + b"rest"),
        encoded(NEW, zlib.compress(NEW)[:-8]),
        encoded(NEW, b"no zlib at all"),
        encoded(b"\0" * 100, zlib.compress(b"\0" * 20_000_000)),
        encoded(b"\0" * 20_000_000),
        delta(b"\x90\x05"),
        delta(b"\x00"),
        delta(b"\x05ab"),
        delta(b"\x9f\x01"),
        delta(b"\xf1\xff\xff\xff\xff"),
        delta(b"\x01a", before=1),
        delta(),
        encoded(b"\xff" * 100, kind="delta"),
    ],
)
def test_parts_that_lie_are_refused(part):
    assert only_fault(FILES, patch(part)).code == "binary"


@pytest.mark.parametrize(
    "body",
    [
        "nonsense\n",
        "literal 1\n\n",
        "literal 3\n!bad\n\n",
        "literal 3\nKcmZ\n\n",
        "literal 3\n" + "z" * 9 + "\n\n",
    ],
)
def test_parts_that_cannot_be_read_are_malformed(body):
    assert only_fault(FILES, patch(body)).code == "malformed"


def test_all_parts_of_a_patch_together_unfold_to_so_much_and_no_more():
    big = bytes(9_000_000)
    parts = [patch(encoded(big), b"", big, f"{number}.bin") for number in range(9)]
    parts = [part | {"text": str(part["text"]).replace(blob_id(b""), "0" * 40)} for part in parts]
    new = [
        part | {"text": str(part["text"]).replace("index", "new file mode 100644\nindex")}
        for part in parts
    ]
    assert set(codes(refusal({}, *new))) == {"binary"}
    assert len(outcome({}, *new[:3])) == 3


def test_a_binary_patch_without_a_way_back_is_not_reversed():
    change = patch(encoded(NEW)) | {"reverse": True}
    assert only_fault({"a.bin": NEW}, change).code == "binary"

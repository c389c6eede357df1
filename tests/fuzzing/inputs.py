"""One input of the fuzzer, and its origins: the corpus, git's own diffs,
rendered edits, and random text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from gpt_cursor_runner.formats.tree import EntryKind
from tests.building import Repo
from tests.corpus.cases import read_corpus
from tests.corpus.sending import Unsendable, body_of
from tests.fuzzing.rendering import RENDERINGS, SAYS_EVERYTHING, SAYS_LINES, Edit, random_edit

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Input:
    """A tree and a patch for it. `wanted` is the only correct tree of the plan,
    or None when it is not determined.
    """

    origin: str
    files: Files
    changes: Sequence[Any]
    others: Mapping[str, EntryKind] = field(default_factory=dict)
    blobs: Sequence[bytes] = ()
    wanted: Files | None = None

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values())) + sum(len(str(change)) for change in self.changes)


def seeds(random: Random) -> list[Input]:
    """The inputs from which mutations start, without the rendered edits."""
    return [*_corpus(), *(_git_diff(random) for _ in range(12))]


def rendered(random: Random) -> Input:
    """An edit of one to three files in any format, correct in every byte."""
    edits = [
        random_edit(random, f"{random.choice(['', 'src/', 'a b/'])}f{number}.py")
        for number in range(1, 4)
    ]
    edits = edits[: random.randint(1, 3)]
    name = random.choice(sorted(RENDERINGS))
    files = {edit.path: edit.before for edit in edits}
    changes = [change for edit in edits for change in RENDERINGS[name](random, edit)]
    if random.random() < 0.5:
        changes = _merged(changes)
    # A format that cannot express a missing end of the last line determines no
    # tree.
    texts = [text for edit in edits for text in (edit.before, edit.after)]
    has_complete_lines = all(text.endswith(b"\n") or not text for text in texts)
    wanted = None
    if name in SAYS_EVERYTHING or (has_complete_lines and name in SAYS_LINES):
        wanted = {edit.path: edit.after for edit in edits}
    return Input(name, files, changes, wanted=wanted)


def soup(random: Random) -> Input:
    """Text that is hardly a patch: bytes, code points and marks in random
    order.
    """
    marks = [
        "--- a/f\n",
        "+++ b/f\n",
        "@@ -1 +1 @@\n",
        "@@\n",
        "-x\n",
        "+y\n",
        " z\n",
        "<<<<<<< SEARCH\n",
        "=======\n",
    ]
    marks += [
        ">>>>>>> REPLACE\n",
        "*** Begin Patch\n",
        "*** Update File: f\n",
        "*** End Patch\n",
        "*** Add File: g\n",
    ]
    marks += [
        "*** Move to: h\n",
        "*** End of File\n",
        "diff --git a/f b/f\n",
        "GIT binary patch\n",
        "literal 3\n",
        "```\n",
    ]
    marks += [
        "rename from f\n",
        "rename to g\n",
        "new file mode 100644\n",
        "\\ No newline at end of file\n",
        "f\n",
        "...\n",
    ]
    marks += [
        "old mode 100644\n",
        "new mode 120000\n",
        "delta 9\n",
        "index 1234567..89abcde 100644\n",
        "EOF\n",
        "\x00",
        "\r",
    ]
    marks += ["\u2028", "\ufeff", "é", "𝄞", "\x85", "\t", "\x1b", '"', "\\"]
    text = "".join(random.choices(marks, k=random.randint(1, 60)))
    kind = random.choice(["unified_diff", "search_replace", "apply_patch"])
    change: dict[str, Any] = {"type": kind, "text": text}
    if random.random() < 0.6:
        change["path"] = "f"
    if kind == "unified_diff" and random.random() < 0.3:
        change["strip"] = random.randint(0, 3)
    return Input("soup", {"f": random.choice([b"x\nz\n", b"", b"x", b"\x00\xff"])}, [change])


def _merged(changes: Sequence[Any]) -> list[Any]:
    """Several textual changes of one kind as one text, in the formats where a
    model would send them so.
    """
    kinds = {change.get("type") for change in changes}
    if kinds not in ({"unified_diff"}, {"search_replace"}) or any(
        "path" in change for change in changes
    ):
        return list(changes)
    return [{"type": kinds.pop(), "text": "".join(change["text"] for change in changes)}]


def _corpus() -> list[Input]:
    inputs = []
    for case in read_corpus():
        try:
            changes = body_of(case)["changes"]
        except Unsendable:
            continue
        others: dict[str, EntryKind] = dict.fromkeys(case.before.links, "symlink")
        files = {path: data for path, data in case.before.contents.items() if len(data) < 200_000}
        inputs.append(Input(f"corpus {case.name}", files, changes, others, case.blobs))
    return inputs


def _git_diff(random: Random) -> Input:
    """A diff made by git between two trees with moves, modes, binaries and odd
    names.
    """
    names = ["a.py", "dir/b.py", 'odd "name"\t.txt', "ünï.txt", "bin.dat", "run.sh", "gone.txt"]
    before: dict[str, bytes] = {name: random_edit(random, name).before for name in names}
    before["bin.dat"] = random.randbytes(random.randint(1, 3000))
    with tempfile.TemporaryDirectory(prefix="gcr-fuzz-") as place:
        repo = Repo.create(Path(place) / "repo", {})
        repo.commit(before)
        after = _changed_tree(random, repo, before)
        text = repo.git.run(
            "diff", "--binary", "--full-index", "-M", "-C", "HEAD~1", "HEAD"
        ).decode(errors="replace")
    return Input(
        "git diff", before, [{"type": "unified_diff", "text": text}], blobs=(), wanted=after
    )


def _changed_tree(random: Random, repo: Repo, before: Files) -> dict[str, bytes]:
    after = {
        name: Edit.of(random, name, data).after
        for name, data in before.items()
        if name != "bin.dat"
    }
    after["bin.dat"] = before["bin.dat"][:50] + random.randbytes(20) + before["bin.dat"][50:]
    after["moved/b.py"] = after.pop("dir/b.py")
    after["new.txt"] = random.choice([b"", b"new\n", b"new"])
    del after["gone.txt"]
    repo.run("rm", "-q", "-r", ".")
    repo.write(after)
    (repo.path / "run.sh").chmod(0o755)
    repo.run("add", "--all")
    repo.run("commit", "-q", "-m", "after")
    return after

"""Runs a case in memory, or in a real repository whose surroundings are
compared before and after.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from gpt_cursor_runner.formats.plan import make_plan
from gpt_cursor_runner.formats.tree import EntryKind, Plan, Tree
from gpt_cursor_runner.landing.planning import plan_at
from gpt_cursor_runner.landing.sealing import seal
from gpt_cursor_runner.patch.faults import PatchRefused
from gpt_cursor_runner.patch.parsing import parse_patch
from tests.building import Repo
from tests.corpus.cases import Case, Files
from tests.corpus.judging import Outcome, ProbeResult, judge
from tests.corpus.sending import Unsendable, body_of, is_offered
from tests.formats.builders import MemoryTree

_ACCEPTED_AT = 1_700_000_000
_PLACE = "one/two/three"
_SEALING = (
    f"/{_PLACE}/.git/refs/gcr",
    f"/{_PLACE}/.git/objects/",
)  # where a sealed patch leaves its commit


def judged_in_memory(case: Case) -> ProbeResult:
    """The verdict on the plan of a case; nothing is written."""
    return _judged(case, lambda: _tree_after(case, _plan(case, _memory_tree(case))))


def judged_in_git(case: Case, sandbox: Path) -> ProbeResult:
    """The verdict on the sealed commit of a case, in a repository three folders
    deep in its own sandbox.
    """
    repo = _repository(case, sandbox / _PLACE)
    before = _everything(sandbox)

    def sealed() -> Files:
        base = repo.tip()
        plan = plan_at(repo.git, base, lambda tree: _plan(case, tree))
        return _tree_of(repo, seal(repo.git, plan, "corpus", base, _ACCEPTED_AT).tree)

    return _judged(case, sealed, lambda: _changed(before, _everything(sandbox)))


def _judged(
    case: Case, run: Callable[[], Files], strays: Callable[[], tuple[str, ...]] = tuple
) -> ProbeResult:
    if not is_offered(case):
        return ProbeResult(case, "not offered", ", ".join(case.options))
    try:
        outcome = Outcome(run())
    except (PatchRefused, Unsendable) as refused:
        outcome = Outcome(why=_codes(refused), strays=strays(), named=_named(refused))
    except Exception as crash:  # noqa: BLE001  the very thing looked for; it is reported and ends the run red
        outcome = Outcome(crash=f"{type(crash).__name__}: {crash}")
    else:
        outcome = Outcome(
            outcome.tree, strays=tuple(path for path in strays() if not path.startswith(_SEALING))
        )
    return judge(case, outcome)


def _codes(refused: PatchRefused | Unsendable) -> tuple[str, ...]:
    if isinstance(refused, PatchRefused):
        return tuple(fault.code for fault in refused.faults)
    return refused.args


def _named(refused: PatchRefused | Unsendable) -> tuple[bool, ...]:
    if isinstance(refused, Unsendable):
        return ()
    sought = [fault for fault in refused.faults if fault.code == "no_match" and fault.expected]
    return tuple(
        fault.closest is not None and fault.closest.first_difference is not None for fault in sought
    )


def _plan(case: Case, tree: Tree) -> Plan:
    parsed = parse_patch(body_of(case))
    if parsed.patch is None:
        raise PatchRefused(parsed.faults)
    return make_plan(parsed.sound, tree, parsed.patch.tolerance)


def _memory_tree(case: Case) -> MemoryTree:
    others: dict[str, EntryKind] = dict.fromkeys(case.before.links, "symlink")
    others |= dict.fromkeys(case.before.executable, "executable")
    return MemoryTree(case.before.contents, others, case.blobs)


def _tree_after(case: Case, plan: Plan) -> Files:
    contents, executable = dict(case.before.contents), set(case.before.executable)
    for action in plan.actions:
        contents.pop(action.path, None)
        executable.discard(action.path)
        if action.after:
            contents[action.path] = action.after.data
        if action.after and action.after.mode == "100755":
            executable.add(action.path)
    return Files(contents, frozenset(executable), case.before.links)


def _repository(case: Case, place: Path) -> Repo:
    """A repository whose only commit and checkout are the tree before, byte for
    byte.
    """
    repo, files = Repo(place), case.before
    place.mkdir(parents=True)
    repo.run("init", "--quiet", "--initial-branch=main")
    for path, data in files.contents.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(0o755 if path in files.executable else 0o644)
    for path, to in files.links.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).symlink_to(to)
    repo.run("fast-import", "--quiet", data=_stream(files))
    for blob in case.blobs:
        repo.run("hash-object", "-w", "--stdin", data=blob)
    return repo


def _stream(files: Files) -> bytes:
    parts = [
        b"commit refs/heads/main\ncommitter Owner <owner@example.org> 1 +0000\ndata 6\nbefore\n"
    ]
    for path, data in [
        *files.contents.items(),
        *((path, os.fsencode(to)) for path, to in files.links.items()),
    ]:
        mode = b"100644"
        if path in files.executable:
            mode = b"100755"
        if path in files.links:
            mode = b"120000"
        parts.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, _quoted(path), len(data), data))
    return b"".join(parts)


def _quoted(path: str) -> bytes:
    raw = os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"%s"' % raw


def _tree_of(repo: Repo, tree: str) -> Files:
    """Everything in a tree of a repository."""
    contents, executable, links = dict[str, bytes](), set[str](), dict[str, str]()
    for row in repo.run("ls-tree", "-r", "-z", tree).split("\0"):
        facts, _, path = row.partition("\t")
        if not path:
            continue
        mode, _, oid = facts.split()
        data = repo.git.run("cat-file", "blob", oid)
        if mode == "120000":
            links[path] = os.fsdecode(data)
            continue
        contents[path] = data
        if mode == "100755":
            executable.add(path)
    return Files(contents, frozenset(executable), links)


def _everything(sandbox: Path) -> Mapping[str, tuple[int, bytes]]:
    """The mode and bytes of every path below a folder; links are not followed."""
    entries = {}
    for path in sandbox.rglob("*"):
        mode = path.lstat().st_mode
        data = b""
        if path.is_symlink():
            data = os.fsencode(path.readlink())
        elif stat.S_ISREG(mode):
            data = path.read_bytes()
        entries[f"/{path.relative_to(sandbox)}"] = (mode, data)
    return entries


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(sorted(path for path in {*before, *after} if before.get(path) != after.get(path)))

"""A copy of a tree in which the sources are empty and the tests are kept: a
check that passes on it does not test the sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from gpt_cursor_runner.config import Check, Setup
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.landing.scratch import scratch


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SOURCE_SUFFIXES = _words(
    ".c .cc .cjs .clj .cpp .cs .cxx .dart .erl .ex .exs .fs .go .h .hh .hpp .hs .java .jl .js "
    ".jsx .kt .lua .m .mjs .ml .php .pl .pm .ps1 .py .pyx .r .rb .rs .scala .sh .swift .ts "
    ".tsx .vue .zig"
)
_TEST_DIRECTORIES = _words("__tests__ e2e spec specs t test testing tests")
_TEST_NAME = re.compile(
    r"(?:^|[_.-])(?:tests?|spec|conftest)(?:[_.-]|$)|(?:Tests?|Spec)\.[a-z]+$", re.ASCII
)
# Programs that read code without running it.
_LINTERS = _words(
    "actionlint biome black clang-format clang-tidy codespell eslint flake8 gofmt "
    "golangci-lint hadolint isort mypy pre-commit prettier pylint pyright rubocop ruff "
    "rustfmt shellcheck standard stylelint tsc ty vet xo yamllint"
)
_LINTER_WORDS = _LINTERS | {"clippy", "fmt", "format", "lint", "typecheck", "types"}


@contextmanager
def hollow_tree(git: Git, tree: str, setups: Sequence[Setup]) -> Iterator[tuple[Git, str]]:
    """A repository for as long as the context lasts, and the id of the hollow
    tree in it. Files that setup commands install from are kept.
    """
    keyed = {path for setup in setups for path in setup.keyed_by}
    with scratch(git, tree) as place:
        index = {"GIT_INDEX_FILE": str(place.directory / "hollow-index")}
        place.run("read-tree", tree, environment=index)
        empty = place.line("hash-object", "-w", "-t", "blob", "--stdin")
        # Empty, not deleted: an import should find the module and miss its names.
        entries = place.run("ls-files", "--stage", "-z", environment=index)
        emptied = []
        for entry in entries.decode(errors="surrogateescape").split("\0")[:-1]:
            facts, path = entry.split("\t", 1)
            mode = facts.split(" ")[0]
            if mode.startswith("100") and path not in keyed and is_source(path):
                emptied.append(f"{mode} {empty}\t{path}\0")
        data = "".join(emptied).encode(errors="surrogateescape")
        place.run("update-index", "-z", "--index-info", data=data, environment=index)
        yield place, place.line("write-tree", environment=index)


def is_source(path: str) -> bool:
    """Whether a path is a source file and no test."""
    pure = PurePosixPath(path)
    if pure.suffix.lower() not in _SOURCE_SUFFIXES:
        return False
    if any(part.lower() in _TEST_DIRECTORIES for part in pure.parts[:-1]):
        return False
    return _TEST_NAME.search(pure.name) is None


def is_linter(check: Check) -> bool:
    """Whether a check reads the code and does not run it, by the words of its
    command.
    """
    words = re.split(r"[\s/:]+", " ".join(check.command))
    programs = [word for word in words if word in _LINTER_WORDS]
    return bool(programs) and "test" not in words and "pytest" not in words

"""Projects that CMake, Autotools or Make builds. Each check builds afresh: a
build that is kept could contain what another patch made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gpt_cursor_runner.cli.ecosystems.project import Project, Proposal
from gpt_cursor_runner.config import Check

NAME = "Native"
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_TARGETS = ("check", "test", "tests")
_TIMEOUT_SECONDS = 1800.0
# In a clone the generated files are not newer than their sources. Without this
# make would generate them again, with the very versions of the tools that made
# them.
_NO_GENERATION = "ACLOCAL=: AUTOCONF=: AUTOHEADER=: AUTOMAKE=: MAKEINFO=:"
_JOBS = '-j"$(nproc)"'


def proposals(project: Project) -> list[Proposal]:
    return [
        *_with_cmake(project),
        *_with_autotools(project),
        *_with_make(project),
    ]


def _with_cmake(project: Project) -> Iterator[Proposal]:
    text = project.read("CMakeLists.txt")
    if not text:
        return
    # Outside the tree: a project may have a directory with this name.
    directory = '"$TMPDIR/build"'
    build = f"cmake --build {directory} {_JOBS}"
    run = f"ctest --test-dir {directory} --output-on-failure --no-tests=error"
    yield _proposal("CMake and ctest", [f"cmake -S . -B {directory}", build, run])
    options = _testing_options(text)
    if options:
        configure = f"cmake -S . -B {directory} {options}"
        yield _proposal("CMake with tests switched on", [configure, build, run])


def _testing_options(text: str) -> str:
    """The options of a CMake project that build its tests."""
    names = re.findall(r"^\s*(?:option|OPTION)\s*\(\s*(\w*TEST\w*)", text, re.MULTILINE)
    return " ".join(f"-D{name}=ON" for name in dict.fromkeys(names))


def _with_autotools(project: Project) -> Iterator[Proposal]:
    if project.has("configure"):
        for target in _targets(_texts(project, ["Makefile.in", "Makefile.am"])):
            build = f"make {_JOBS}"
            steps = ["./configure", build, f"make {target}"]
            yield _proposal(f"configure and make {target}", steps)
            steps = ["./configure", f"{build} {_NO_GENERATION}", f"make {target} {_NO_GENERATION}"]
            yield _proposal(f"configure and make {target}, nothing generated", steps)
    elif project.has("configure.ac"):
        for target in _targets(_texts(project, ["Makefile.in", "Makefile.am"])):
            steps = ["autoreconf -fi", "./configure", f"make {_JOBS}", f"make {target}"]
            yield _proposal(f"autoreconf, configure and make {target}", steps)


def _with_make(project: Project) -> Iterator[Proposal]:
    files = project.present(_MAKEFILES)
    if not files or project.has("configure") or project.has("configure.ac"):
        return
    for target in _targets(project.read(files[0])):
        yield _proposal(f"make {target}", [f"make {target}"])
        yield _proposal(f"make, then make {target}", ["make", f"make {target}"])


def _texts(project: Project, paths: Sequence[str]) -> str:
    return "\n".join(map(project.read, paths))


def _targets(text: str) -> list[str]:
    """The targets of a Makefile that run tests. Automake makes `check`."""
    targets = []
    for name in _TARGETS:
        if re.search(rf"^(?:[\w.-]+ +)*{name}(?: +[\w.-]+)*\s*::?(?!=)", text, re.MULTILINE):
            targets.append(name)
    if not targets and re.search(r"^(?:check_PROGRAMS|TESTS|SUBDIRS)\b", text, re.MULTILINE):
        targets.append("check")
    return targets


def _proposal(title: str, steps: Sequence[str]) -> Proposal:
    command: tuple[str, ...] = ("sh", "-c", " && ".join(steps))
    if len(steps) == 1:
        command = tuple(steps[0].split())
    check = Check(name="tests", command=command, timeout_seconds=_TIMEOUT_SECONDS)
    return Proposal(NAME, title, (), (check,))

"""Python projects: uv, Poetry, extras, dependency groups, requirements files,
tox; pytest or unittest.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from gpt_cursor_runner.cli.ecosystems.project import SETUP_SECONDS, Narrowed, Project, Proposal
from gpt_cursor_runner.config import Check, Setup

NAME = "Python"
# Names that projects give to what their tests need, the most particular first.
_TEST_NAMES = ("test", "tests", "testing", "dev", "develop", "development")
_REQUIREMENTS = (
    "requirements/{}.txt",
    "requirements-{}.txt",
    "requirements_{}.txt",
    "{}-requirements.txt",
    "{}_requirements.txt",
    "requirements.{}.txt",
)
_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")
_MARKS = (*_METADATA, "requirements.txt", "tox.ini", "pytest.ini", "uv.lock", "poetry.lock")
_TEST_FILES = ("test_*.py", "*_test.py", "tests.py", "test.py")
_MAX_TEST_FILES_READ = 40
_PYTEST_TEST = re.compile(r"^(?:import|from) pytest\b|^(?:async )?def test_", re.MULTILINE)
_UNITTEST_TEST = re.compile(r"^(?:import|from) unittest\b|\(.*TestCase\):$", re.MULTILINE)
_INCLUDED = re.compile(r"^(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", re.MULTILINE)
_TOOLS = '"$TMPDIR"/tools/bin'
_PIP = ".venv/bin/pip install"
_PYTEST = (".venv/bin/python", "-m", "pytest", "-q")
# The parts of a test's name after `[` are its parameters, which may contain
# anything; all cases of the test are left out together.
_FAILED = re.compile(r"^(?:FAILED|ERROR) ([^\s\[]+::[^\s\[]+)", re.MULTILINE)
_FAILED_FILE = re.compile(r"^ERROR [^\s:]+(?: |$)", re.MULTILINE)
_PASSED = re.compile(r"\b(\d+) passed\b")
_MAX_LEFT_OUT = 20
_PASSED_PER_LEFT_OUT = 20


def proposals(project: Project) -> list[Proposal]:
    test_files = project.named(*_TEST_FILES)
    if not project.present(_MARKS) and not test_files:
        return []
    with_unittest = _with_unittest(project, test_files)
    if _uses_pytest(project, test_files):
        return [*_with_pytest(project), *with_unittest]
    return [*with_unittest, *_with_pytest(project)]


def without_failures(check: Check, output: str) -> Narrowed | None:
    """The check without the tests that pytest reports as failed, when nearly
    all others pass.
    """
    failed = tuple(dict.fromkeys(_FAILED.findall(output)))
    passed = _PASSED.findall(output)
    if not failed or not passed or _FAILED_FILE.search(output):
        return None
    is_few = len(failed) * _PASSED_PER_LEFT_OUT <= int(passed[-1])
    if len(failed) > _MAX_LEFT_OUT or not is_few:
        return None
    words = [*check.command]
    for name in failed:
        words += ["--deselect", name]
    return Narrowed(check.model_copy(update={"command": tuple(words)}), failed)


def _with_pytest(project: Project) -> Iterator[Proposal]:
    check = Check(name="tests", command=_PYTEST)
    for title, setup in _environments(project):
        yield Proposal(NAME, title, (setup,), (check,), narrow=without_failures)


def _environments(project: Project) -> Iterator[tuple[str, Setup]]:
    """The ways to make a `.venv` with the project, its tests' needs and pytest."""
    settings = _toml(project.read("pyproject.toml"))
    if project.has("uv.lock"):
        yield "uv, from uv.lock", _uv(project, settings)
    if project.has("poetry.lock") or "poetry" in settings.get("tool", {}):
        yield "Poetry", _poetry(project)
    yield from _groups(project, settings)
    yield from _extras(project, settings)
    yield from _requirements(project)
    if project.has("tox.ini"):
        yield "the environment of tox", _tox(project)
    if _is_installable(project):
        yield "pip install -e ., and pytest", _pip(project, ["-e", "."])
    else:
        yield "pytest alone", _pip(project, [])


def _uv(project: Project, settings: dict[str, Any]) -> Setup:
    # uv keeps to the Python that is here, and to the versions of the lock.
    sync = "sync --frozen --all-extras --no-python-downloads"
    for name in _first_names(settings.get("dependency-groups", {})):
        sync += f" --group {name}"
    steps = [
        # It would trust the certificates that it brings, and not the machine's.
        # The second name is that of older releases.
        "export UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true",
        *_tool("uv", sync),
        f"{_TOOLS}/uv pip install --python .venv pytest",
    ]
    return _setup(project, steps, ("uv.lock",), "~/.cache/uv")


def _poetry(project: Project) -> Setup:
    install = "install --no-interaction --all-extras --all-groups"
    steps = [
        "export POETRY_VIRTUALENVS_IN_PROJECT=true",
        *_tool("poetry", install),
        f"{_TOOLS}/pip --python .venv install pytest",
    ]
    return _setup(project, steps, ("poetry.lock",), "~/.cache/pypoetry")


def _tox(project: Project) -> Setup:
    devenv = "devenv -e py .venv"
    steps = [*_tool("tox", devenv), f"{_TOOLS}/pip --python .venv install pytest"]
    return _setup(project, steps, _with_included(project, ["tox.ini"]))


def _tool(name: str, arguments: str) -> list[str]:
    """The steps that run a tool from an environment of its own, which is not
    kept.
    """
    return [
        'python3 -m venv "$TMPDIR/tools"',
        f"{_TOOLS}/pip install --upgrade pip {name}",
        f"{_TOOLS}/{name} {arguments}",
    ]


def _groups(project: Project, settings: dict[str, Any]) -> Iterator[tuple[str, Setup]]:
    for name in _first_names(settings.get("dependency-groups", {})):
        words = ["--group", name]
        if _is_installable(project):
            words = ["-e", ".", *words]
        # The pip of older Pythons has no --group.
        upgrade = f"{_PIP} --upgrade pip"
        yield f"pip, with the dependency group {name}", _pip(project, words, before=upgrade)


def _extras(project: Project, settings: dict[str, Any]) -> Iterator[tuple[str, Setup]]:
    extras = settings.get("project", {}).get("optional-dependencies", {})
    names = _first_names(extras)
    if not names:
        names = _extras_of_setup(project)
    for name in names:
        yield f"pip, with the extra {name}", _pip(project, ["-e", f".[{name}]"])


def _extras_of_setup(project: Project) -> list[str]:
    """The extras in setup.cfg or setup.py, as far as they can be read without
    running them.
    """
    names = []
    section = re.search(
        r"^\[options\.extras_require\]\n(.*?)(?=^\[|\Z)",
        project.read("setup.cfg"),
        re.MULTILINE | re.DOTALL,
    )
    if section is not None:
        names += re.findall(r"^([\w-]+)\s*=", section[1], re.MULTILINE)
    mapping = re.search(r"extras_require\s*=\s*\{(.*?)\}", project.read("setup.py"), re.DOTALL)
    if mapping is not None:
        names += re.findall(r"""["']([\w-]+)["']\s*:""", mapping[1])
    return _first_names(names)


def _requirements(project: Project) -> Iterator[tuple[str, Setup]]:
    candidates = []
    for name in _TEST_NAMES:
        candidates += [pattern.format(name) for pattern in _REQUIREMENTS]
    files = [*project.present(candidates)[:2], *project.present(["requirements.txt"])]
    for file in files:
        words = ["-r", file]
        if _is_installable(project):
            words = ["-e", ".", *words]
        keyed_by = _with_included(project, [file])
        yield f"pip, with {file}", _pip(project, words, keyed_by)


def _with_unittest(project: Project, test_files: Sequence[str]) -> Iterator[Proposal]:
    command = _unittest_command(project, test_files)
    if command is None:
        return
    words = []
    keyed_by: tuple[str, ...] = ()
    if _is_installable(project):
        words += ["-e", "."]
    if project.has("requirements.txt"):
        words += ["-r", "requirements.txt"]
        keyed_by = _with_included(project, ["requirements.txt"])
    if words:
        setup = _pip(project, words, keyed_by, with_pytest=False)
        check = Check(name="tests", command=(".venv/bin/python", *command))
        yield Proposal(NAME, "unittest, after pip install", (setup,), (check,))
    check = Check(name="tests", command=("python3", *command))
    yield Proposal(NAME, "unittest, without an installation", (), (check,))


def _unittest_command(project: Project, test_files: Sequence[str]) -> list[str] | None:
    """The arguments of Python that run the tests; None without such tests."""
    files = [path for path in test_files[:_MAX_TEST_FILES_READ] if _is_unittest(project, path)]
    if not files:
        return None
    # Discovery enters packages only.
    directory = PurePosixPath(min(files, key=lambda path: path.count("/"))).parent
    if directory == PurePosixPath(".") or project.has(f"{directory}/__init__.py"):
        return ["-m", "unittest", "discover", "-q"]
    return ["-m", "unittest", "discover", "-q", "-s", str(directory)]


def _is_unittest(project: Project, path: str) -> bool:
    return _UNITTEST_TEST.search(project.read(path)) is not None


def _uses_pytest(project: Project, test_files: Sequence[str]) -> bool:
    if project.has("pytest.ini") or project.named("conftest.py"):
        return True
    settings = [*_METADATA, "tox.ini", *project.named("*requirements*.txt", "requirements/*.txt")]
    if any("pytest" in project.read(path) for path in settings):
        return True
    texts = map(project.read, test_files[:_MAX_TEST_FILES_READ])
    return any(_PYTEST_TEST.search(text) for text in texts)


def _is_installable(project: Project) -> bool:
    if project.has("setup.py"):
        return True
    settings = _toml(project.read("pyproject.toml"))
    return "project" in settings or "build-system" in settings


def _first_names(names: Sequence[str] | dict[str, Any]) -> list[str]:
    """The names that tests may need, at most two."""
    wanted = [name for name in _TEST_NAMES if name in names]
    return wanted[:2]


def _with_included(project: Project, files: Sequence[str]) -> tuple[str, ...]:
    """Requirements files, and those that they include."""
    collected: list[str] = []
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file in collected or not project.has(file):
            continue
        collected.append(file)
        directory = PurePosixPath(file).parent
        for included in _INCLUDED.findall(project.read(file)):
            waiting.append(str(directory / included))
    return tuple(sorted(collected))


def _pip(
    project: Project,
    words: Sequence[str],
    keyed_by: Sequence[str] = (),
    before: str = "",
    with_pytest: bool = True,
) -> Setup:
    wanted = [*words]
    if with_pytest:
        wanted.append("pytest")
    steps = ["python3 -m venv .venv", f"{_PIP} {shlex.join(wanted)}"]
    if before:
        steps.insert(1, before)
    return _setup(project, steps, keyed_by)


def _setup(
    project: Project, steps: Sequence[str], keyed_by: Sequence[str], cache: str = "~/.cache/pip"
) -> Setup:
    # A file that does not exist yet is a key too.
    keys = project.present([*_METADATA, *keyed_by]) or ("pyproject.toml",)
    return Setup(
        command=("sh", "-c", " && ".join(steps)),
        keyed_by=keys,
        provides=(".venv",),
        network="host",
        caches=(cache,),
        timeout_seconds=SETUP_SECONDS,
    )


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}

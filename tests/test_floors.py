"""The import rules: a floor imports only lower floors, and the side packages
keep to their own rules.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = "gpt_cursor_runner"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

# The packages, or single modules of them, that each package may import. Every
# package may import `patch`, and the package itself for its version. Two packages
# of one floor are independent unless it is listed here.
_TOOLS = frozenset({"system", "config"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    # floor 0: knows nothing of this product, not even a patch
    "system": frozenset(),
    # floors 1 to 3
    "config": frozenset({"system"}),
    "patch": frozenset(),
    "formats": frozenset(),
    # The value types of a plan; landing does not make plans.
    "landing": _TOOLS | {"formats.tree"},
    # floor 4: the engine claims from the ledger
    "ledger": _TOOLS,
    "engine": _TOOLS | {"ledger"},
    # floor 5: observes from the side
    # Health asks the parts that a patch passes about themselves.
    "health": _TOOLS | {"ledger", "engine", "landing.git", "landing.sandbox", "landing.readiness"},
    "alerts": _TOOLS | {"ledger", "health.monitor"},
    # floor 6: gateway and runner meet in the ledger
    "gateway": _TOOLS | {"formats", "landing", "ledger", "engine", "health"},
    "runner": _TOOLS | {"formats", "landing", "ledger", "engine"},
    # The command line starts the other two through their entry functions.
    "cli": _TOOLS
    | {"formats", "landing", "ledger", "engine", "health", "alerts", "wiring", "gateway.serve"},
    # beside the floors
    "wiring": _TOOLS
    | {"formats", "landing", "ledger", "engine", "health", "alerts", "gateway", "runner"},
    "wsgi": _TOOLS | {"wiring"},
    "__main__": frozenset({"cli"}),
    "__init__": frozenset(),
}

# Libraries that a package must not import.
_PURE = frozenset(
    {"os", "subprocess", "socket", "http", "sqlite3", "sqlalchemy", "flask", "pathlib", "time"}
)
FOREIGN: dict[str, frozenset[str]] = {
    "patch": _PURE,
    "formats": _PURE - {"time"},  # the historical regex runs against a deadline
    "landing": frozenset({"flask", "sqlalchemy", "sqlite3", "http"}),
    "ledger": frozenset({"flask", "subprocess", "http", "socket"}),
    "engine": frozenset({"flask", "subprocess", "http"}),
    "runner": frozenset({"flask", "subprocess", "http"}),
}

UNWELCOME = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "manager",
    "handler",
    "handlers",
    "processor",
    "misc",
}


def package_of(module: str) -> str:
    return module.split(".")[0]


def imports(module: str, text: str) -> Iterator[str]:
    """Every module a source text imports, absolute, also inside functions and
    under TYPE_CHECKING.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = [PACKAGE, *module.split(".")][: -node.level] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            # `from package import module` names its module among what it imports.
            yield from (
                [f"{start}.{name.name}" for name in node.names] if start in _packages() else [start]
            )


def _packages() -> set[str]:
    return {
        PACKAGE,
        *(f"{PACKAGE}.{package}" for package in MAY_IMPORT if (SOURCE / package).is_dir()),
    }


def wrong_imports(module: str, text: str) -> list[str]:
    """The imports of a module that its package is not allowed."""
    package, wrong = package_of(module), []
    everywhere = {package, "__version__"}
    if package != "system":
        everywhere.add("patch")
    allowed = MAY_IMPORT[package] | everywhere
    for name in imports(module, text):
        outer, _, inner = name.partition(".")
        if outer == PACKAGE:
            if not _is_within(inner, allowed):
                wrong.append(f"{module} imports {inner}")
        elif outer in FOREIGN.get(package, frozenset()):
            wrong.append(f"{module} imports {outer}")
    return wrong


def _is_within(module: str, packages: frozenset[str]) -> bool:
    """Whether a module is the project's root, or in one of these packages."""
    if not module:
        return True
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def sources() -> dict[str, str]:
    texts = {}
    for file in sorted(SOURCE.rglob("*.py")):
        if "migrations" not in file.parts:
            texts[".".join(file.relative_to(SOURCE).with_suffix("").parts)] = file.read_text()
    return texts


def test_no_package_imports_outside_its_rules() -> None:
    assert [
        wrong for module, text in sources().items() for wrong in wrong_imports(module, text)
    ] == []


# Words of the product that a module about clocks, threads and processes has no
# use for.
_PRODUCT_WORDS = re.compile(r"(?i)\b(gcr|patch(es)?|runners?|gateway|ledger|cursor)\b|gcr_")


def test_system_does_not_mention_the_product() -> None:
    for module, text in sources().items():
        if package_of(module) == "system":
            own_imports = text.replace(f"from {PACKAGE}.system", "")
            assert not _PRODUCT_WORDS.findall(own_imports), module


def test_every_package_is_in_the_table() -> None:
    assert {package_of(module) for module in sources()} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "text", "wrong"),
    [
        ("patch.model", "from gpt_cursor_runner.formats.tree import Plan", "formats.tree"),
        ("formats.plan", "from gpt_cursor_runner.landing import git", "landing.git"),
        ("landing.sealing", "from gpt_cursor_runner.formats.plan import make_plan", "formats.plan"),
        ("landing.git", "import gpt_cursor_runner.ledger.events", "ledger.events"),
        (
            "ledger.leases",
            "from gpt_cursor_runner.engine.runner_lock import Beat",
            "engine.runner_lock",
        ),
        ("ledger.leases", "from ..landing import git", "landing.git"),
        ("ledger.leases", "def late():\n    from gpt_cursor_runner import wiring", "wiring"),
        ("ledger.leases", "import subprocess", "subprocess"),
        ("patch.paths", "from os import environ", "os"),
        (
            "engine.embedded",
            "from gpt_cursor_runner.health.monitor.model import Reading",
            "health.monitor.model",
        ),
        ("health.monitor", "from gpt_cursor_runner.gateway.app import create_app", "gateway.app"),
        (
            "health.monitor.monitor",
            "from gpt_cursor_runner.alerts.recorder import Recorder",
            "alerts.recorder",
        ),
        ("patch.model", "from gpt_cursor_runner.config import Config", "config.Config"),
        ("gateway.app", "from gpt_cursor_runner.runner.loop import Runner", "runner.loop"),
        ("runner.loop", "from gpt_cursor_runner.gateway.writer import Writer", "gateway.writer"),
        ("cli.up", "from gpt_cursor_runner.gateway.app import create_app", "gateway.app"),
        ("cli.up", "from gpt_cursor_runner.runner.loop import Runner", "runner.loop"),
        ("system.logs", "from gpt_cursor_runner.config import Config", "config.Config"),
        ("system.clock", "from gpt_cursor_runner.patch.model import Patch", "patch.model"),
    ],
)
def test_a_wrong_import_is_detected(module: str, text: str, wrong: str) -> None:
    assert wrong_imports(module, text) == [f"{module} imports {wrong}"]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("landing.sealing", "from gpt_cursor_runner.formats.tree import Plan"),
        ("landing.sealing", "from gpt_cursor_runner.landing import landing"),
        ("engine.embedded", "from gpt_cursor_runner.ledger.ledger import Ledger"),
        ("cli.gateway", "from gpt_cursor_runner.gateway.serve import serve"),
        ("runner.reporting", "from gpt_cursor_runner import __version__"),
    ],
)
def test_a_right_import_is_accepted(module: str, text: str) -> None:
    assert wrong_imports(module, text) == []


def environment_reads(text: str) -> list[int]:
    """The lines on which a source text reads or changes the environment."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if (
            isinstance(node, ast.Attribute)
            and node.attr in names
            and ast.unparse(node.value) == "os"
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and names & {alias.name for alias in node.names}
        )
    ]


def test_only_the_settings_read_the_environment() -> None:
    assert {module for module, text in sources().items() if environment_reads(text)} == {
        "config.reading"
    }


@pytest.mark.parametrize(
    "text", ["import os\nos.environ['X']", "import os\nos.getenv('X')", "from os import environ"]
)
def test_a_read_of_the_environment_is_detected(text: str) -> None:
    assert environment_reads(text)


def test_no_module_has_an_unwelcome_name() -> None:
    words = {word for module in sources() for part in module.split(".") for word in part.split("_")}
    assert words & UNWELCOME == set()


# The other halves of Flask and pydantic.
_BROUGHT_ALONG = {"werkzeug", "pydantic_core"}


def _normal(name: str) -> str:
    """A distribution's name as PEP 503 compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_imported_library_is_declared() -> None:
    """A library that only another dependency installs can be missing on a fresh
    machine.
    """
    project = tomllib.loads((SOURCE.parent.parent / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["alerts"]]
    declared = {_normal(re.split(r"[<>=\[]", requirement)[0]) for requirement in requirements}
    brought_by = packages_distributions()
    outer = {
        name.partition(".")[0]
        for module, text in sources().items()
        for name in imports(module, text)
    }
    libraries = outer - set(sys.stdlib_module_names) - {PACKAGE, "_typeshed", *_BROUGHT_ALONG}
    assert "waitress" in libraries
    assert {
        name for name in libraries if not declared & set(map(_normal, brought_by[name]))
    } == set()

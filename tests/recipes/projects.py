"""One small project for each recipe of docs/recipes.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SmallProject:
    """Its files; the one that a patch breaks, and how; the programs that this
    machine must have.
    """

    files: dict[str, str]
    source: str
    good: str
    bad: str
    programs: tuple[str, ...] = ("python3",)


# One of each ecosystem is tried in every run of the tests.
VARIANTS = frozenset({"pip-group", "requirements", "uv", "poetry", "tox", "pnpm", "yarn"})


_PYTHON_SOURCE = 'def greet(name):\n    return f"Hello, {name}"\n'
_PYTEST_TEST = "from app import greet\n\n\ndef test_greet():\n"
_PYTEST_TEST += '    assert greet("you") == "Hello, you"\n'
_UNITTEST_TEST = """\
import unittest

from app import greet


class Greeting(unittest.TestCase):
    def test_greet(self):
        self.assertEqual(greet("you"), "Hello, you")
"""
_PYPROJECT = """\
[project]
name = "app"
version = "1.0.0"
requires-python = ">=3.11"

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
py-modules = ["app"]
package-dir = { "" = "src" }
"""
_UV_LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "app"
version = "1.0.0"
source = { editable = "." }
"""
_POETRY = """\
[tool.poetry]
name = "app"
version = "1.0.0"
description = ""
authors = []
packages = [{ include = "app.py", from = "src" }]

[tool.poetry.dependencies]
python = ">=3.11"

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""
_SETUP = """\
from setuptools import setup

setup(name="app", version="1.0.0", py_modules=["app"], package_dir={"": "src"})
"""
_TOX = "[tox]\nenv_list = py\n\n[testenv]\ndeps = pytest\ncommands = pytest {posargs}\n"


def _python(files: dict[str, str], source: str = "src/app.py") -> SmallProject:
    return SmallProject({source: _PYTHON_SOURCE, **files}, source, "Hello", "Bye")


_NODE_SOURCE = "const isOdd = require('is-odd');\n\nexports.describe = (n) => "
_NODE_SOURCE += "isOdd(n) ? 'odd' : 'even';\n"
_NODE_TEST = """\
const assert = require('node:assert');
const test = require('node:test');
const { describe } = require('../lib/describe');

test('odd', () => assert.strictEqual(describe(3), 'odd'));
"""
_NODE_MANIFEST = """\
{
  "name": "app",
  "version": "1.0.0",
  "private": true,
  "scripts": { "test": "node --test" },
  "dependencies": { "is-odd": "3.0.1" }
}
"""


def _node(files: dict[str, str]) -> SmallProject:
    all_files = {
        "package.json": _NODE_MANIFEST,
        "lib/describe.js": _NODE_SOURCE,
        "test/describe.js": _NODE_TEST,
        **files,
    }
    return SmallProject(all_files, "lib/describe.js", "'odd'", "'strange'", ("node", "npm"))


_NPM_LOCK = """\
{
  "name": "app",
  "version": "1.0.0",
  "lockfileVersion": 3,
  "requires": true,
  "packages": {
    "": { "name": "app", "version": "1.0.0", "dependencies": { "is-odd": "3.0.1" } },
    "node_modules/is-number": { "version": "6.0.0" },
    "node_modules/is-odd": { "version": "3.0.1", "dependencies": { "is-number": "^6.0.0" } }
  }
}
"""
_PNPM_LOCK = """\
lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      is-odd:
        specifier: 3.0.1
        version: 3.0.1

packages:

  is-number@6.0.0:
    resolution: {integrity: sha512-Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg==}
    engines: {node: '>=0.10.0'}

  is-odd@3.0.1:
    resolution: {integrity: sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA==}
    engines: {node: '>=4'}

snapshots:

  is-number@6.0.0: {}

  is-odd@3.0.1:
    dependencies:
      is-number: 6.0.0
"""
_YARN_LOCK = """\
# yarn lockfile v1


is-number@^6.0.0:
  version "6.0.0"

is-odd@3.0.1:
  version "3.0.1"
  dependencies:
    is-number "^6.0.0"
"""

_C_SOURCE = '#include "sum.h"\n\nint sum(int a, int b) { return a + b; }\n'
_C_HEADER = "int sum(int a, int b);\n"
_C_TEST = '#include "../sum.h"\n\nint main(void) { return sum(2, 3) == 5 ? 0 : 1; }\n'
_C_FILES = {"sum.c": _C_SOURCE, "sum.h": _C_HEADER, "tests/sum_test.c": _C_TEST}
_MAKEFILE = """\
tests/sum_test: tests/sum_test.c sum.c sum.h
\t$(CC) -o $@ tests/sum_test.c sum.c

test: tests/sum_test
\t./tests/sum_test
"""
_CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project(sum C)
enable_testing()
add_executable(sum_test tests/sum_test.c sum.c)
add_test(NAME sum COMMAND sum_test)
"""
_CONFIGURE_AC = """\
AC_INIT([sum], [1.0])
AM_INIT_AUTOMAKE([foreign subdir-objects])
AC_PROG_CC
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
"""
_MAKEFILE_AM = """\
check_PROGRAMS = sum_test
sum_test_SOURCES = tests/sum_test.c sum.c sum.h
TESTS = sum_test
"""


def _native(files: dict[str, str], *programs: str) -> SmallProject:
    return SmallProject({**_C_FILES, **files}, "sum.c", "a + b", "a - b", ("cc", "make", *programs))


_GO = SmallProject(
    {
        "go.mod": "module example.org/sum\n\ngo 1.21\n",
        "sum.go": "package sum\n\nfunc Sum(a, b int) int { return a + b }\n",
        "sum_test.go": (
            'package sum\n\nimport "testing"\n\nfunc TestSum(t *testing.T) {\n'
            '\tif Sum(2, 3) != 5 {\n\t\tt.Fatal("wrong")\n\t}\n}\n'
        ),
    },
    "sum.go",
    "a + b",
    "a - b",
    ("go",),
)
_RUST = SmallProject(
    {
        "Cargo.toml": (
            '[package]\nname = "sum"\nversion = "1.0.0"\nedition = "2021"\n\n'
            '[dependencies]\nadd = { path = "add" }\n'
        ),
        "add/Cargo.toml": '[package]\nname = "add"\nversion = "1.0.0"\nedition = "2021"\n',
        "add/src/lib.rs": "pub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n",
        "src/lib.rs": "pub fn sum(a: i32, b: i32) -> i32 {\n    add::add(a, b)\n}\n",
        "tests/sum.rs": "#[test]\nfn sums() {\n    assert_eq!(sum::sum(2, 3), 5);\n}\n",
    },
    "add/src/lib.rs",
    "a + b",
    "a - b",
    ("cargo",),
)

PROJECTS: dict[str, SmallProject] = {
    "pip": _python(
        {
            "pyproject.toml": _PYPROJECT + '\n[project.optional-dependencies]\ntest = ["pytest"]\n',
            "tests/test_app.py": _PYTEST_TEST,
        }
    ),
    "pip-group": _python(
        {
            "pyproject.toml": _PYPROJECT + '\n[dependency-groups]\ntest = ["pytest"]\n',
            "tests/test_app.py": _PYTEST_TEST,
        }
    ),
    "requirements": _python(
        {
            "requirements-dev.txt": "pytest\n",
            "test_app.py": _PYTEST_TEST,
        },
        source="app.py",
    ),
    "uv": _python(
        {"pyproject.toml": _PYPROJECT, "uv.lock": _UV_LOCK, "tests/test_app.py": _PYTEST_TEST}
    ),
    "poetry": _python(
        {
            "pyproject.toml": _POETRY,
            "tests/test_app.py": _PYTEST_TEST,
        }
    ),
    "tox": _python(
        {"setup.py": _SETUP, "tox.ini": _TOX, "tests/test_app.py": _PYTEST_TEST},
    ),
    "unittest": _python({"tests/test_app.py": _UNITTEST_TEST}, source="app.py"),
    "npm": _node({"package-lock.json": _NPM_LOCK}),
    "pnpm": _node({"pnpm-lock.yaml": _PNPM_LOCK}),
    "yarn": _node({"yarn.lock": _YARN_LOCK}),
    "go": _GO,
    "rust": _RUST,
    "make": _native({"Makefile": _MAKEFILE}),
    "cmake": _native({"CMakeLists.txt": _CMAKE}, "cmake"),
    "autotools": _native({"configure.ac": _CONFIGURE_AC, "Makefile.am": _MAKEFILE_AM}, "automake"),
}

"""What is proposed for Python projects, by the files they have."""

from __future__ import annotations

import pytest

from gpt_cursor_runner.cli.ecosystems.python import without_failures
from gpt_cursor_runner.config import Check
from tests.cli.ecosystems.builders import proposed_for, scripts, titles

PYTEST_TEST = "def test_one():\n    assert True\n"
UNITTEST_TEST = "import unittest\n\nclass One(unittest.TestCase):\n    pass\n"
PROJECT = '[project]\nname = "app"\nversion = "1"\n'


def test_nothing_is_proposed_for_other_projects():
    assert titles({"main.c": "", "README.md": ""}) == []


def test_the_extra_for_tests_is_installed_with_the_project():
    files = {
        "pyproject.toml": PROJECT + '[project.optional-dependencies]\ntest = ["pytest"]\nx = []\n',
        "tests/test_app.py": PYTEST_TEST,
    }
    first, second = scripts(files)
    assert first == "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' pytest"
    assert second == "python3 -m venv .venv && .venv/bin/pip install -e . pytest"
    proposal = proposed_for(files)[0]
    assert proposal.setup[0].keyed_by == ("pyproject.toml",)
    assert (proposal.setup[0].provides, proposal.setup[0].network) == ((".venv",), "host")
    assert proposal.checks[0].command == (".venv/bin/python", "-m", "pytest", "-q")
    assert proposal.checks[0].network == "loopback"


def test_a_dependency_group_needs_a_new_pip():
    files = {
        "pyproject.toml": PROJECT + '[dependency-groups]\ntests = ["pytest"]\n',
        "tests/test_app.py": PYTEST_TEST,
    }
    assert titles(files)[0] == "pip, with the dependency group tests"
    assert "--upgrade pip && .venv/bin/pip install -e . --group tests pytest" in scripts(files)[0]


@pytest.mark.parametrize(
    "name", ["requirements/tests.txt", "requirements-dev.txt", "test-requirements.txt"]
)
def test_requirements_for_tests_come_before_the_others(name):
    files = {
        "setup.py": "from setuptools import setup\nsetup()\n",
        "requirements.txt": "idna\n",
        name: "-r base.txt\npytest\n",
        "requirements/base.txt": "idna\n",
        "test_app.py": PYTEST_TEST,
    }
    first = proposed_for(files)[0]
    assert f"-e . -r {name} pytest" in first.setup[0].command[-1]
    assert name in first.setup[0].keyed_by
    assert ("requirements/base.txt" in first.setup[0].keyed_by) is name.startswith("requirements/")


def test_extras_are_read_from_the_older_files_too():
    setup_cfg = "[options.extras_require]\ntesting =\n    pytest\n\n[other]\ntest = 1\n"
    files = {"setup.py": "", "setup.cfg": setup_cfg, "test_app.py": PYTEST_TEST}
    assert titles(files)[0] == "pip, with the extra testing"
    setup_py = 'setup(extras_require={"dev": ["pytest"]})\n'
    assert titles({"setup.py": setup_py, "test_app.py": PYTEST_TEST})[0].endswith("extra dev")


def test_a_lock_file_comes_first():
    files = {"pyproject.toml": PROJECT, "uv.lock": "", "tests/test_app.py": PYTEST_TEST}
    first = proposed_for(files)[0]
    assert "uv sync --frozen" in first.setup[0].command[-1]
    assert "uv.lock" in first.setup[0].keyed_by
    files = {"pyproject.toml": "[tool.poetry]\n", "poetry.lock": "", "test_app.py": PYTEST_TEST}
    assert titles(files)[0] == "Poetry"


def test_tox_makes_the_environment_that_its_file_describes():
    files = {"tox.ini": "[testenv]\ndeps = pytest\n", "test_app.py": PYTEST_TEST}
    assert "tox devenv -e py .venv" in scripts(files)[0]


def test_unittest_needs_neither_pytest_nor_an_installation():
    files = {"app.py": "", "test_app.py": UNITTEST_TEST}
    first = proposed_for(files)[0]
    assert first.setup == ()
    assert first.checks[0].command == ("python3", "-m", "unittest", "discover", "-q")


def test_unittest_looks_into_a_directory_that_is_no_package():
    files = {"app.py": "", "tests/test_app.py": UNITTEST_TEST}
    assert proposed_for(files)[0].checks[0].command[-2:] == ("-s", "tests")
    files["tests/__init__.py"] = ""
    assert proposed_for(files)[0].checks[0].command[-1] == "-q"


def test_unittest_of_an_installable_project_tries_with_and_without():
    files = {"pyproject.toml": PROJECT, "tests/test_app.py": UNITTEST_TEST}
    assert titles(files) == [
        "unittest, after pip install",
        "unittest, without an installation",
        "pip install -e ., and pytest",
    ]


def test_a_broken_pyproject_is_no_obstacle():
    assert titles({"pyproject.toml": "[project", "test_app.py": PYTEST_TEST}) == ["pytest alone"]


OUTPUT = """\
FAILED tests/test_a.py::Net::test_far[http://far/ - x] - OSError: unreachable
FAILED tests/test_a.py::Net::test_far[other] - OSError: unreachable
ERROR tests/test_b.py::test_slow - OSError
3 failed, {} passed, 1 skipped in 0.12s
"""


def test_a_few_failing_tests_are_left_out():
    check = Check(name="tests", command=("pytest",))
    narrowed = without_failures(check, OUTPUT.format(60))
    assert narrowed is not None
    assert narrowed.left_out == ("tests/test_a.py::Net::test_far", "tests/test_b.py::test_slow")
    deselected = [word for word in narrowed.check.command if word != "--deselect"]
    assert deselected == ["pytest", *narrowed.left_out]


@pytest.mark.parametrize(
    "output",
    [
        OUTPUT.format(30),
        "1 passed in 0.1s",
        "ERROR tests/test_c.py - ImportError\n" + OUTPUT.format(100),
        "No module named pytest",
    ],
)
def test_nothing_is_left_out_of_a_suite_that_does_not_work(output):
    assert without_failures(Check(name="tests", command=("pytest",)), output) is None

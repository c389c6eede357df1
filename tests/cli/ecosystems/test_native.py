"""What is proposed for projects in C, by their build files."""

from __future__ import annotations

import pytest

from tests.cli.ecosystems.builders import proposed_for, titles


def commands(files: dict[str, str]) -> list[str]:
    return [" ".join(proposal.checks[0].command) for proposal in proposed_for(files)]


@pytest.mark.parametrize(
    "makefile",
    ["test: all\n\t./run\n", "all test:\n", ".PHONY: test\ntest ::\n", "check:\n"],
)
def test_a_target_of_make_that_runs_tests_is_run(makefile):
    target = "check" if "check" in makefile else "test"
    assert commands({"Makefile": makefile}) == [
        f"make {target}",
        f"sh -c make && make {target}",
    ]


@pytest.mark.parametrize("makefile", ["all:\n", "test = x\n", "test := x\n", "\ttest: x\n"])
def test_a_makefile_without_such_a_target_is_left_alone(makefile):
    assert commands({"Makefile": makefile}) == []


def test_cmake_builds_outside_the_tree_and_runs_ctest():
    first = commands({"CMakeLists.txt": "project(app C)\nenable_testing()\n"})[0]
    assert first.startswith('sh -c cmake -S . -B "$TMPDIR/build" && cmake --build')
    assert "--no-tests=error" in first


def test_options_of_cmake_switch_tests_on():
    text = 'project(app C)\noption(APP_BUILD_TESTS "Tests" OFF)\noption(APP_SHARED "" ON)\n'
    second = commands({"CMakeLists.txt": text})[1]
    assert "-DAPP_BUILD_TESTS=ON &&" in second and "SHARED" not in second


def test_autotools_generate_nothing_in_the_second_try():
    files = {"configure": "", "configure.ac": "", "Makefile.am": "TESTS = a\n"}
    first, second = commands(files)
    assert first == 'sh -c ./configure && make -j"$(nproc)" && make check'
    assert "AUTOMAKE=:" in second
    del files["configure"]
    assert titles(files) == ["autoreconf, configure and make check"]


def test_a_build_makes_nothing_that_is_kept():
    for files in ({"Makefile": "test:\n"}, {"CMakeLists.txt": "project(app)\n"}):
        for proposal in proposed_for(files):
            assert (proposal.setup, proposal.checks[0].caches) == ((), ())

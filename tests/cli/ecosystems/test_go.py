"""What is proposed for Go modules."""

from __future__ import annotations

from tests.cli.ecosystems.builders import proposed_for, titles

MODULE = "module example.org/app\n\ngo 1.22\n"


def test_tests_run_offline_with_what_setup_has_downloaded():
    module = MODULE + "\nrequire golang.org/x/text v0.3.0\n"
    proposal = proposed_for({"go.mod": module, "go.sum": "", "app_test.go": ""})[0]
    setup, check = proposal.setup[0], proposal.checks[0]
    assert "go mod download" in setup.command[-1] and setup.network == "host"
    assert (setup.keyed_by, setup.provides) == (("go.mod", "go.sum"), (".go",))
    assert check.environment["GOPROXY"] == "off" and check.network == "loopback"


def test_a_module_without_requirements_needs_no_network():
    setup = proposed_for({"go.mod": MODULE})[0].setup[0]
    assert "download" not in setup.command[-1] and setup.network == "loopback"


def test_vendored_modules_need_no_network():
    module = MODULE + "require (\n\tgolang.org/x/text v0.3.0\n)\n"
    setup = proposed_for({"go.mod": module, "vendor/modules.txt": ""})[0].setup[0]
    assert setup.network == "loopback"


def test_no_build_is_shared_between_patches():
    assert proposed_for({"go.mod": MODULE})[0].checks[0].caches == ()


def test_nothing_is_proposed_without_a_module():
    assert titles({"main.go": ""}) == []

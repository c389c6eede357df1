"""The registries of the user reach the setup commands, passwords do not."""

from __future__ import annotations

from gpt_cursor_runner.cli.ecosystems.project import Proposal
from gpt_cursor_runner.cli.registries import Registries, pip_variables
from gpt_cursor_runner.config import Network, Setup


def a_proposal(ecosystem: str = "Python", network: Network = "host") -> Proposal:
    setup = Setup(
        command=("true",),
        keyed_by=("a",),
        provides=("b",),
        network=network,
        environment={"OWN": "1"},
    )
    return Proposal(ecosystem, "", (setup,), ())


VARIABLES = {
    "PIP_INDEX_URL": "https://packages.example.org/simple",
    "npm_config_registry": "https://packages.example.org/npm",
    "GOPROXY": "https://packages.example.org/go,direct",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}


def test_each_ecosystem_gets_its_own_variables_and_the_common_ones():
    registries = Registries.of_variables(VARIABLES)
    own = {"Python": "PIP_INDEX_URL", "Node": "npm_config_registry", "Go": "GOPROXY", "Rust": None}
    for ecosystem, name in own.items():
        proposal = registries.applied_to(a_proposal(ecosystem))
        expected = {"OWN", "SSL_CERT_FILE", name} - {None}
        assert set(proposal.setup[0].environment) == expected
        assert proposal.shown == ()


def test_commands_without_the_network_get_none():
    proposal = a_proposal(network="loopback")
    assert Registries.of_variables(VARIABLES).applied_to(proposal) == proposal


def test_a_password_is_not_copied():
    for url in (
        "https://me:secret@packages.example.org/simple",
        "https://token@packages.example.org/simple",
        "https://packages.example.org/simple https://me:secret@other.example.org",
        "https://packages.example.org,https://me:secret@other.example.org",
    ):
        registries = Registries.of_variables({"PIP_INDEX_URL": url, "PIP_NO_INDEX": "0"})
        assert registries.refused == ("PIP_INDEX_URL",)
        proposal = registries.applied_to(a_proposal())
        assert set(proposal.setup[0].environment) == {"OWN", "PIP_NO_INDEX"}


def test_local_directories_are_shown(tmp_path):
    wheels = tmp_path / "my wheels"
    index = tmp_path / "index"
    for directory in (wheels, index):
        directory.mkdir()
    links = f"{wheels.as_uri()} {index} /no/such/directory"
    proposal = Registries.of_variables({"PIP_FIND_LINKS": links}).applied_to(a_proposal())
    assert proposal.shown == (str(wheels), str(index))


def test_settings_of_pip_become_variables():
    listing = (
        ":env:.index-url='https://from.environment.example.org'\n"
        "global.index-url='https://packages.example.org/simple'\n"
        "global.extra-index-url='\\nfile:///a\\nfile:///b'\n"
        "global.constraint='/etc/constraints.txt'\n"
        "install.no-binary=':all:'\n"
        "global.cert=unquoted\n"
    )
    assert pip_variables(listing) == {
        "PIP_INDEX_URL": "https://packages.example.org/simple",
        "PIP_EXTRA_INDEX_URL": "file:///a file:///b",
    }

"""Floor 6, door C: the commands, one file each."""

from __future__ import annotations

import click

from gpt_cursor_runner import __version__
from gpt_cursor_runner.cli.decide import approve, cancel, reject, retry
from gpt_cursor_runner.cli.doctor import doctor
from gpt_cursor_runner.cli.gateway import gateway
from gpt_cursor_runner.cli.health import health, status
from gpt_cursor_runner.cli.init import init
from gpt_cursor_runner.cli.key import key
from gpt_cursor_runner.cli.patches import patches
from gpt_cursor_runner.cli.runner import runner
from gpt_cursor_runner.cli.send import send
from gpt_cursor_runner.cli.show import diff, log, report, show
from gpt_cursor_runner.cli.up import up


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 failed, 2 usage, 3 degraded, 4 not allowed, 5 unreachable, 6 timed out.",
)
@click.version_option(__version__, prog_name="gcr")
def main() -> None:
    """GPT-Cursor Runner: a patch posted to a URL becomes a checked, tagged commit, or nothing changes."""


for command in (
    *(init, up, send, patches, show, diff, log, report, cancel, retry, approve, reject),
    *(health, status, doctor, key, gateway, runner),
):
    main.add_command(command)

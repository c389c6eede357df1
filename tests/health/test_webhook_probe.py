from __future__ import annotations

import pytest

from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.health.probes.webhook import WebhookProbe


@pytest.mark.parametrize(
    ("permits", "alive", "status", "code"),
    [
        (48, True, CheckStatus.OK, "operational"),
        (1, True, CheckStatus.OK, "operational"),
        (0, True, CheckStatus.WARN, "saturated"),
        (48, False, CheckStatus.FAIL, "writer_dead"),
        (0, False, CheckStatus.FAIL, "writer_dead"),
    ],
)
def test_the_webhook_depends_on_its_writer_and_its_permits(permits, alive, status, code):
    reading = WebhookProbe(lambda: permits, lambda: alive).read()
    assert (reading.status, reading.code, reading.data["permits_free"]) == (status, code, permits)

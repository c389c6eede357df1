from __future__ import annotations

import pytest

from gpt_cursor_runner.health.monitor.model import Status
from gpt_cursor_runner.health.probes.webhook import WebhookProbe


@pytest.mark.parametrize(
    ("permits", "alive", "status", "code"),
    [
        (48, True, Status.OK, "operational"),
        (1, True, Status.OK, "operational"),
        (0, True, Status.WARN, "saturated"),
        (48, False, Status.FAIL, "writer_dead"),
        (0, False, Status.FAIL, "writer_dead"),
    ],
)
def test_the_door_is_as_well_as_its_writer_and_its_permits(permits, alive, status, code):
    found = WebhookProbe(lambda: permits, lambda: alive).read()
    assert (found.status, found.code, found.data["permits_free"]) == (status, code, permits)

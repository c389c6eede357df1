"""The gateway with one route more: it takes until a file is there. Served by
granian in tests of a busy gateway.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gpt_cursor_runner import wsgi
from gpt_cursor_runner.gateway.serve import serve

if TYPE_CHECKING:
    from flask import Flask


def application() -> Flask:
    """The factory named to granian."""
    app: Flask = wsgi.application()  # type: ignore[assignment]  # it is one
    until = Path(os.environ["SLOW_UNTIL"])

    def slow() -> str:
        while not until.exists():
            time.sleep(0.05)
        return "done"

    app.add_url_rule("/slow", view_func=slow)
    return app


if __name__ == "__main__":
    serve("tests.gateway.slow_gateway:application", "127.0.0.1", int(os.environ["SLOW_PORT"]))

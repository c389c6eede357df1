"""Logs: one JSON object a line, ours and the libraries' alike, each with the
request or patch it belongs to.
"""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from pathlib import Path
from typing import Any

import structlog

_MAX_FILE_BYTES = 10 * 1024 * 1024
_KEPT_FILES = 5
# The text of a key, wherever it may have strayed: into a path, a title, the
# message of a library.
_KEY = re.compile(r"(gcr_[0-9a-f]{12})_[A-Za-z0-9_-]{20,}")


def configure_logs(file: Path | None = None, level: int = logging.INFO) -> None:
    """Send every log line to `file`, which is kept from growing without end, or
    to standard error.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _handler(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
                _without_keys,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _without_keys(_logger: Any, _method: str, line: Any) -> str:  # noqa: ANN401  the line as rendered, structlog cannot know
    return _KEY.sub(r"\1_…", line)


def _handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    for directory in (file.parent.parent, file.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(
        file, maxBytes=_MAX_FILE_BYTES, backupCount=_KEPT_FILES
    )

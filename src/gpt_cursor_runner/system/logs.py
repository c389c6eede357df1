"""Logs: one JSON object a line, also for the records of libraries."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

_MAX_LOG_BYTES = 10 * 1024 * 1024
_KEPT_FILES = 5


def configure_logs(
    file: Path | None = None,
    *,
    secrets: re.Pattern[str] | None = None,
    quiet: Sequence[str] = (),
    level: int = logging.INFO,
) -> None:
    """Send every log line to `file`, rotated at 10 MiB, or to standard error.

    `secrets` is replaced by its first group in every line; loggers named in
    `quiet` log from WARNING on.
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
    rendering: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    if secrets is not None:
        rendering.append(_redaction(secrets))
    handler = _handler(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)


def _redaction(secrets: re.Pattern[str]) -> structlog.typing.Processor:
    def redact(_logger: Any, _method: str, line: Any) -> str:  # noqa: ANN401  the type of structlog's processors
        return secrets.sub(r"\1_…", line)

    return redact


def _handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    for directory in (file.parent.parent, file.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(
        file, maxBytes=_MAX_LOG_BYTES, backupCount=_KEPT_FILES
    )

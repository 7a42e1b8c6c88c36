"""The worker's log, on stderr: the standard library's ``dspex_erl`` logger, imported when the first line is written."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging

__all__ = ["LEVELS", "log"]

LEVELS = ("debug", "info", "warning", "error", "critical")


class _Log:
    """Sets up logging at its first use: :mod:`logging` takes longer to import than a worker to start."""

    def __init__(self) -> None:
        self._logger: logging.Logger | None = None
        self.level = "warning"

    def logger(self) -> logging.Logger:
        """The ``dspex_erl`` logger, writing to stderr unless the program has set up logging itself."""
        if self._logger is None:
            import logging

            logger = logging.getLogger("dspex_erl")
            logger.setLevel(self.level.upper())
            if not logger.hasHandlers():
                handler = logging.StreamHandler()
                handler.setFormatter(logging.Formatter("dspex_erl %(process)d %(levelname)s: %(message)s"))
                logger.addHandler(handler)
                logger.propagate = False
            self._logger = logger
        return self._logger

    def warning(self, text: str, *args: object) -> None:
        self.logger().warning(text, *args)

    def error(self, text: str, *args: object) -> None:
        self.logger().error(text, *args)


log = _Log()

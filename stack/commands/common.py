"""What every command shares: the application, the configuration, errors and logs."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import typer
from pydantic import ValidationError
from rich.console import Console

from schemas.config import Config
from schemas.manifest import ManifestError
from schemas.rules import RuleError

app = typer.Typer(
    help="Streamgauge: every LLM call scored, seconds after it happened, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True, soft_wrap=True)  # a line of an error stays one line, for grep


class JsonLogs(logging.Formatter):
    """One JSON object a line. Messages never hold content, so neither do these."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON with UTC time."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json() -> None:
    """Daemons log JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogs())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def one_line_errors(part: str, status: int = 1, unreachable: int | None = None) -> Iterator[None]:
    """What a user can mend is one red line and an exit status, not a traceback.

    ``unreachable`` is the status where Kafka or ClickHouse do not answer, if it is another.
    """
    from aiokafka.errors import KafkaError
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        yield
    except (ManifestError, RuleError, KafkaError, ClickHouseError, ValueError, OSError) as error:
        errors.print(f"{part}: {error}", style="red", markup=False, highlight=False)
        # A ClickHouse error with a code is an answer; one without is the lack of it.
        answered = isinstance(error, ValueError) or getattr(error, "code", None) is not None
        if unreachable is not None and not answered:
            status = unreachable
        raise typer.Exit(status) from None


@app.callback()
def _quiet() -> None:
    # Libraries log tracebacks of what a command already says in one line; daemons log as JSON.
    logging.basicConfig(level=logging.CRITICAL)


def load_config() -> Config:
    """The configuration, or exit 2 with a line for each wrong field."""
    try:
        return Config()
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            field = ".".join(str(part) for part in item["loc"])
            errors.print(f"[red]configuration[/]: {field}: {item['msg']}")
        raise typer.Exit(2) from None

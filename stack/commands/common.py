"""What every command shares: the application, the configuration, errors and logs."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import typer
from pydantic import ValidationError
from rich.console import Console, RenderableType
from rich.text import Text

from schemas.config import Config
from schemas.faults import faults
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
_UNLIMITED_CHARS = 1 << 20


def screen_width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere."""
    return console.width if console.is_terminal else None


def whole_console() -> Console:
    """Where tables go that nothing may be cut from: piped, they are as wide as what they hold."""
    return console if console.is_terminal else Console(width=_UNLIMITED_CHARS)


def print_whole(shown: RenderableType) -> None:
    """Print a table or a line without cutting it; piped, without wrapping it either."""
    if isinstance(shown, str | Text) and not console.is_terminal:
        typer.echo(str(shown))  # a trace has many lines, and this is quicker
    else:
        whole_console().print(shown, highlight=False, markup=False)


_FALSE_ALARMS = re.compile(
    r"Stream stopped processing, or is slow for |Stream has not started processing "
    r"|Has not committed "
)
"""What Faust says of a partition in which a message has just arrived after a quiet time.

It sees one open message and holds the age of the last event or commit, which is the length of the
silence, against its limit: that is no stall. One that is real ends the worker (the watchdog: a
position that stands, or messages in flight without progress, for ``runtime.stuck_s``) and shows as
lag."""


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


def no_false_alarm(record: logging.LogRecord) -> bool:
    """Whether a record is to be logged."""
    # By its text: Faust logs under the module of the class, which is ours where we derive one.
    return record.levelno != logging.ERROR or not _FALSE_ALARMS.search(record.getMessage())


def log_as_json() -> None:
    """Daemons log JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogs())
    handler.addFilter(no_false_alarm)
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
    except ValidationError as error:
        for fault in faults(error):
            errors.print(f"{part}: {fault}", style="red", markup=False, highlight=False)
        raise typer.Exit(status) from None
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
    with one_line_errors("configuration", status=2):
        return Config()


def people_config() -> Config:
    """The configuration of a command for people: the running embedded stack's, unless Kafka or
    ClickHouse are configured to be elsewhere."""
    from stack.running import running_config

    config = load_config()
    with one_line_errors("configuration", status=2):
        return running_config(config)

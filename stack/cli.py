"""The ``streamgauge`` command.

Every command reads the one configuration (``streamgauge.yaml`` and ``STREAMGAUGE_*``); heavy
imports happen inside commands so that ``--help`` is quick and a worker loads only its stage.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from schemas.config import Config
from schemas.manifest import ManifestError
from schemas.rules import RuleError

app = typer.Typer(
    help="Streamgauge: every LLM call scored, seconds after it happened, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="Classifier models.", no_args_is_help=True)
app.add_typer(models_app, name="models")
console = Console()
errors = Console(stderr=True)


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


def _log_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogs())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def _one_line_errors(part: str, status: int = 1) -> Iterator[None]:
    """What a user can mend is one red line and an exit status, not a traceback."""
    from aiokafka.errors import KafkaError
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        yield
    except (ManifestError, RuleError, KafkaError, ClickHouseError, ValueError, OSError) as error:
        errors.print(f"{part}: {error}", style="red", markup=False, highlight=False)
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


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option(help="exit by itself, 0 only if everything was shown")
    ] = False,
    count: Annotated[int, typer.Option(help="conversations to send")] = 300,
    rate: Annotated[float, typer.Option(help="conversations a second")] = 8.0,
) -> None:
    """Run the main job on this machine: sample traffic in, verdicts and an alert out."""
    from stack.demo.run import run_demo

    raise typer.Exit(run_demo(load_config(), once=once, count=count, rate=rate, console=console))


@app.command()
def up() -> None:
    """Start the embedded stack (Kafka, ClickHouse, gateway, every stage) until Ctrl-C."""
    from stack.up import run_up

    raise typer.Exit(run_up(load_config(), console=console))


@app.command()
def gateway() -> None:
    """Serve OTLP and write it to Kafka."""
    from ingest.gateway import run_gateway

    _log_json()
    with _one_line_errors("gateway refuses to start", status=2):
        run_gateway(load_config())


@app.command()
def worker(
    stages: Annotated[str, typer.Option(help="one stage, or several separated by commas")],
    port: Annotated[int, typer.Option(help="port of /health, /ready, /metrics; 0 picks one")] = 0,
    instance: Annotated[str, typer.Option(help="static membership id, stable over restarts")] = "",
) -> None:
    """Run stages; with several, one supervised child process each."""
    from processors.runtime.worker import run_worker

    names = [name.strip() for name in stages.split(",") if name.strip()]
    _log_json()
    config = load_config()
    if len(names) > 1:
        from stack.up import run_workers

        raise typer.Exit(run_workers(config, names, console=console))
    with _one_line_errors(f"{names[0]} refuses to start", status=2):
        run_worker(names[0], config, port=port, instance=instance)


@app.command()
def migrate() -> None:
    """Create and verify topics, tables and views."""
    from processors.runtime.admin import create_topics
    from sql.migrate import migrate as apply

    config = load_config()
    with _one_line_errors("migrate"):
        asyncio.run(create_topics(config))
        applied = apply(config)
    console.print(f"topics verified; migrations applied: {', '.join(applied) or 'none new'}")


@app.command()
def sql(query: Annotated[str, typer.Argument(help="a SELECT over the views")]) -> None:
    """Run one query and print its rows as a table."""
    from sql.client import connect

    with _one_line_errors("sql"):
        result = connect(load_config().clickhouse).query(query)
    table = Table(*result.column_names)
    for row in result.result_rows:
        table.add_row(*(str(value) for value in row))
    console.print(table)
    console.print(f"{len(result.result_rows)} rows")


@app.command()
def verify(
    endpoint: Annotated[str, typer.Option(help="gateway's base URL")] = "http://127.0.0.1:4318",
    traces: Annotated[int, typer.Option(help="traces to send; 0 checks the journal only")] = 500,
    rate: Annotated[float, typer.Option(help="traces a second")] = 25.0,
    seed: Annotated[int, typer.Option(help="seed of the traffic")] = 1,
    journal: Annotated[Path, typer.Option(help="what was sent and what got success")] = Path(
        ".streamgauge/verify.jsonl"
    ),
    service: Annotated[str, typer.Option(help="service.name of the traffic")] = "",
    wait: Annotated[float, typer.Option(help="seconds to let stages catch up")] = 60.0,
) -> None:
    """Prove delivery: send traffic, then count what is lost, doubled or invented."""
    from stack.verify.command import VerifyRun, run_verify

    run = VerifyRun(endpoint, traces, rate, seed, service or f"verify-{seed}", journal, wait)
    with _one_line_errors("verify"):
        report = run_verify(load_config(), run, console)
    for name, items in (
        ("lost", report.lost),
        ("duplicate", report.duplicates),
        ("phantom", report.phantoms),
    ):
        for item in items[:20]:
            console.print(f"  {name}: {item}", highlight=False, markup=False)
    console.print(report.summary(), highlight=False)
    raise typer.Exit(0 if report.clean else 1)


@app.command(name="config")
def show_config() -> None:
    """Print the configuration in force, secrets hidden."""
    console.print_json(load_config().model_dump_json())


@models_app.command("check")
def models_check() -> None:
    """Verify the model folder's hashes, run every task once, print its speed."""
    from processors.evaluate.models import check_models

    with _one_line_errors("models"):
        rows = check_models(load_config())
    for row in rows:
        console.print(row, highlight=False)


if __name__ == "__main__":
    app()

"""Commands that run parts of the line: demo, up, gateway, worker, migrate."""

import asyncio
import logging
from typing import Annotated

import typer

from stack.commands.common import (
    app,
    console,
    load_config,
    log_as_json,
    one_line_errors,
    people_config,
)


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
    """Serve OTLP and write it to Kafka; take feedback and write it to ClickHouse."""
    from ingest.gateway import run_gateway
    from processors.operations.redact import RedactionKeyError
    from stack.feedback import FeedbackStore

    log_as_json()
    config = load_config()
    feedback: FeedbackStore | None = None
    with one_line_errors("gateway refuses to start", status=2):
        try:
            feedback = FeedbackStore(config, "api")
        except RedactionKeyError as error:
            # Spans are redacted by the stages, but comments would be stored as they are.
            logging.warning("POST /v1/feedback is off: %s", error)
        run_gateway(config, feedback)


@app.command()
def worker(
    stages: Annotated[str, typer.Option(help="one stage, or several separated by commas")],
    port: Annotated[int, typer.Option(help="port of /health, /ready, /metrics; 0 picks one")] = 0,
    instance: Annotated[str, typer.Option(help="static membership id, stable over restarts")] = "",
) -> None:
    """Run stages; with several, one supervised child process each."""
    from processors.runtime.worker import run_worker

    names = [name.strip() for name in stages.split(",") if name.strip()]
    log_as_json()
    config = load_config()
    if len(names) > 1:
        from stack.up import run_workers

        raise typer.Exit(run_workers(config, names, console=console))
    with one_line_errors(f"{names[0]} refuses to start", status=2):
        run_worker(names[0], config, port=port, instance=instance)


@app.command()
def migrate(
    show: Annotated[
        bool, typer.Option("--print", help="print the statements for ClickHouse, run nothing")
    ] = False,
) -> None:
    """Create and verify topics, tables and views."""
    from processors.runtime.admin import create_topics
    from sql.migrate import migrate as apply
    from sql.migrate import plan

    config = people_config()
    if show:
        with one_line_errors("migrate"):
            typer.echo(";\n\n".join([*plan(config.clickhouse), ""]), nl=False)
        return
    with one_line_errors("migrate"):
        asyncio.run(create_topics(config))
        applied = apply(config)
    console.print(f"topics verified; migrations applied: {', '.join(applied) or 'none new'}")

"""Commands for whoever runs the line, or wonders what came of the calls just sent."""

import time
from typing import Annotated

import typer

from stack.commands.common import app, console, load_config, one_line_errors


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="look again until Ctrl-C")] = False,
    interval: Annotated[float, typer.Option(min=0.5, help="seconds between two looks")] = 5.0,
    max_age: Annotated[
        float, typer.Option(min=0, help="seconds an unread message may be old in a healthy line")
    ] = 60.0,
) -> None:
    """Tell on one screen whether it is the application or us.

    Exit status 0: healthy. 1: something is wrong, namely a stage with an unread message older than
    --max-age, books that do not balance, dead letters in the last hour, an evaluator of which more
    than 5% failed in the last hour, a question that ClickHouse refuses, or an open alert. 2: Kafka
    or ClickHouse cannot be reached. Missing content is shown and is no fault.
    """
    import orjson
    from rich.live import Live

    from stack.status.report import Report, look
    from stack.status.screen import screen

    config = load_config()

    def seen() -> Report:
        with one_line_errors("status", status=2):
            return look(config, max_age)

    report = seen()
    if json:
        typer.echo(orjson.dumps(report.as_json(), option=orjson.OPT_UTC_Z))
    elif watch:
        try:
            with Live(screen(report), console=console, screen=console.is_terminal) as live:
                while True:
                    time.sleep(interval)
                    report = seen()
                    live.update(screen(report), refresh=True)
        except KeyboardInterrupt:
            console.print(screen(report))
    else:
        console.print(screen(report))
    raise typer.Exit(report.exit_status)

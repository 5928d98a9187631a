"""Commands for whoever runs the line, or wonders what came of the calls just sent."""

import asyncio
import time
from typing import Annotated

import typer

from stack.commands.common import (
    app,
    console,
    errors,
    one_line_errors,
    people_config,
    whole_console,
)


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

    config = people_config()

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
        whole_console().print(screen(report))
    raise typer.Exit(report.exit_status)


@app.command()
def tail(
    since: Annotated[str, typer.Option(help="begin earlier: 5m, or a time; default: now")] = "",
    service: Annotated[str, typer.Option(help="calls of this service.name alone")] = "",
    tenant: Annotated[str, typer.Option(help="of this tenant alone")] = "",
    flagged: Annotated[bool, typer.Option("--flagged", help="that a verdict flags alone")] = False,
    count: Annotated[int, typer.Option(min=0, help="end after so many; 0 goes on")] = 0,
    json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Follow calls as they come: service, model, tokens, content state, verdicts. Never content.

    A call is shown once its verdicts are there, or after 5 seconds without. For a service whose
    calls come without content, stderr says once which setting turns it on. Ctrl-C ends it with
    exit status 0; 2 if Kafka cannot be reached.
    """
    import orjson

    from sql.hints import content_hint
    from stack.printable import printable
    from stack.tail.calls import Calls, SeenCall, Wanted
    from stack.tail.follow import VERDICT_WAIT_S, follow
    from stack.tail.lines import as_json, line
    from stack.times import moment_ms

    told: set[tuple[str, str, str]] = set()

    def show(call: SeenCall) -> None:
        if json:
            typer.echo(orjson.dumps(as_json(call)))
        else:
            console.print(line(call), soft_wrap=True)
        who = (call.tenant, call.service, call.dialect)
        if call.content_state == "not_captured" and who not in told:
            told.add(who)
            name = printable(call.service) or "(no service name)"
            errors.print(f"{name}: {content_hint(call.dialect)}", style="yellow", soft_wrap=True)

    with one_line_errors("tail", unreachable=2):
        now_ms = time.time_ns() // 1_000_000
        since_ms = moment_ms(since, now_ms, "--since") if since else None
        calls = Calls(Wanted(service, tenant, flagged), VERDICT_WAIT_S)
        try:
            asyncio.run(follow(people_config(), calls, since_ms, count, show))
        except (KeyboardInterrupt, BrokenPipeError):
            raise typer.Exit(0) from None

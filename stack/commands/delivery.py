"""Commands about delivery: is anything lost, doubled, dead?"""

import asyncio
import time
from pathlib import Path
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
def verify(  # noqa: PLR0917 - a command's options
    endpoint: Annotated[str, typer.Option(help="gateway's base URL")] = "http://127.0.0.1:4318",
    grpc: Annotated[
        str, typer.Option(help="gateway's host:port of OTLP/gRPC; empty: HTTP alone")
    ] = "127.0.0.1:4317",
    traces: Annotated[int, typer.Option(help="traces to send; 0 checks the journal only")] = 500,
    rate: Annotated[float, typer.Option(help="traces a second")] = 25.0,
    seed: Annotated[int, typer.Option(help="seed of the traffic")] = 1,
    journal: Annotated[Path, typer.Option(help="what was sent and what got success")] = Path(
        ".streamgauge/verify.jsonl"
    ),
    service: Annotated[str, typer.Option(help="service.name of the traffic")] = "",
    wait: Annotated[float, typer.Option(help="seconds to let stages catch up")] = 60.0,
    api_key_file: Annotated[
        Path | None, typer.Option(help="file with the API key of a gateway that asks for one")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="for https: authority of the gateway's certificate, if not a public one"),
    ] = None,
) -> None:
    """Prove delivery: send traffic, then count what is lost, doubled or invented.

    Spans go by OTLP/HTTP, OTLP/gRPC, straight to Kafka and by KafkaSpanExporter; some calls have
    their texts in log records. Then alerts are compared with those that the verdicts call for, and
    windows that are sealed with a recount: repeat with --traces 0 ten minutes later for all. A
    route by which nothing got success (no key, another port) fails the run.
    """
    from stack.verify.command import VerifyRun, run_verify

    name = service or f"verify-{seed}"
    run = VerifyRun(endpoint, grpc, traces, rate, seed, name, journal, wait, api_key_file, ca_file)
    with one_line_errors("verify"):
        verdict = run_verify(people_config(), run, console)
    for kind, item in verdict.items()[:60]:
        console.print(f"  {kind}: {item}", highlight=False, markup=False)
    console.print(verdict.summary(), highlight=False, soft_wrap=True)
    raise typer.Exit(0 if verdict.clean else 1)


@app.command()
def ledger(
    since: Annotated[str, typer.Option(help="messages that are not older: 2h, or a time")] = "1d",
    gateway: Annotated[
        str, typer.Option(help="metrics URL of the gateway; default: the configured one")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Show the books: raw messages and items by tenant, topic and stage, and if they balance.

    They balance if every message that traces and operations have acknowledged has its row, items in
    = out + filtered + dead in each, both counted the same spans, and each message with dead items
    has a dead letter. What Kafka says is on its way is in flight and no fault.
    Exit status 0 balanced, 1 not, 2 Kafka or ClickHouse cannot be reached.
    """
    import orjson

    from sql.client import connect
    from stack.ledger.books import read_ledger
    from stack.ledger.gateway import read_gateway
    from stack.ledger.positions import read_positions
    from stack.ledger.screen import show
    from stack.times import moment_ms

    config = people_config()
    runtime = config.runtime
    with one_line_errors("ledger", unreachable=2):
        since_ms = moment_ms(since, time.time_ns() // 1_000_000, "--since")
        positions = asyncio.run(read_positions(config, since_ms))
        found = read_ledger(connect(config.clickhouse), positions)
        url = gateway or f"http://{runtime.metrics_host}:{runtime.metrics_base_port}"
        found.gateway = asyncio.run(read_gateway(url))
    if json:
        typer.echo(orjson.dumps(found.as_json()))
    else:
        show(found, whole_console())
    raise typer.Exit(0 if found.balanced else 1)


@app.command()
def replay(  # noqa: PLR0917 - a command's options
    reason: Annotated[str, typer.Option(help="dead letters of this reason")] = "",
    stage: Annotated[str, typer.Option(help="of this stage")] = "",
    topic: Annotated[str, typer.Option(help="of this topic; with --from a raw topic itself")] = "",
    tenant: Annotated[str, typer.Option(help="of this tenant")] = "",
    since: Annotated[str, typer.Option(help="letters that are not older: 2h, or a time")] = "",
    until: Annotated[str, typer.Option(help="letters that are older: 5m, or a time")] = "",
    from_: Annotated[
        str, typer.Option("--from", help="instead of dead letters a range of --topic, from here on")
    ] = "",
    to: Annotated[str, typer.Option(help="end of that range; default: now")] = "",
    limit: Annotated[int, typer.Option(min=0, help="most messages, the oldest; 0 is all")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count, send nothing")] = False,
) -> None:
    """Send dead letters, or a time range of a raw topic, to their topic again.

    The original bytes and key go back; rows replace themselves, so what was stored already stays
    as it is. What is not mended dies again, and many deaths in a row stop a worker: try with
    --limit 10 first. Exit status 1 if something could not be sent, 2 if Kafka cannot be reached.
    """
    from stack.replay.command import RANGE_TOPICS, RangeRequest, Replay, show
    from stack.replay.letters import LetterFilter
    from stack.times import moment_ms

    now_ms = time.time_ns() // 1_000_000

    def moment(option: str, text: str) -> int | None:
        return moment_ms(text, now_ms, option) if text else None

    run = Replay(people_config(), errors, limit=limit, dry_run=dry_run)
    with one_line_errors("replay", unreachable=2):
        from_ms, to_ms = moment("--from", from_), moment("--to", to)
        if from_ms is None:
            if to:
                raise ValueError("--to belongs to --from; for dead letters say --since, --until")
            wanted = LetterFilter(
                reason, stage, topic, tenant, moment("--since", since), moment("--until", until)
            )
            outcome = asyncio.run(run.letters(wanted))
        else:
            if topic not in RANGE_TOPICS or reason or stage or since or until:
                raise ValueError(
                    f"--from goes with --topic, one of {', '.join(RANGE_TOPICS)}, and with --to, "
                    "--tenant, --limit"
                )
            request = RangeRequest(topic, from_ms, now_ms if to_ms is None else to_ms, tenant)
            outcome = asyncio.run(run.time_range(request))
    show(outcome, console, dry_run=dry_run)
    raise typer.Exit(1 if outcome.sent.refused else 0)

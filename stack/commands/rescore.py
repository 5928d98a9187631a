"""The command that judges history again."""

import asyncio
import os
import time
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from stack.commands.common import app, console, errors, one_line_errors, people_config

LOW_PRIORITY = 10


@app.command()
def rescore(
    from_: Annotated[
        str, typer.Option("--from", help="first call's start: ISO time, or ago as 2d")
    ],
    evaluator: Annotated[str, typer.Option(help="injection, toxicity or hallucination")],
    to: Annotated[str, typer.Option("--to", help="calls before this: ISO time, or ago")] = "0s",
    model: Annotated[str, typer.Option(help="model folder; default: the configured one")] = "",
    warn: Annotated[
        float | None, typer.Option(help="threshold to try instead of the manifest's")
    ] = None,
    page: Annotated[
        float | None, typer.Option(help="threshold to try instead of the manifest's")
    ] = None,
    tenant: Annotated[str, typer.Option(help="of this tenant alone")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count the calls")] = False,
) -> None:
    """Judge stored calls with another model or other thresholds.

    Texts are those of genai_content, redacted as they are stored. Verdicts are written beside those
    that there are, as a shadow's: v_compare and v_evaluator_agreement show them, no alert comes of
    them. Calls that this version has judged are left out, so an interrupted run is run again.
    """
    from schemas.evaluators import Evaluator
    from sql.client import connect
    from stack.reprice import Range
    from stack.rescore.judging import Outcome, Rescore, Wanted
    from stack.times import moment_ms

    config = people_config()
    os.nice(LOW_PRIORITY)  # the line comes first where it shares the machine

    def told(day: date, outcome: Outcome) -> None:
        errors.print(f"{day}: {outcome.calls:,} calls so far", highlight=False)

    with one_line_errors("rescore"):
        if evaluator not in list(Evaluator):
            raise ValueError(f"--evaluator {evaluator}: there is none of that name")
        now_ms = time.time_ns() // 1_000_000
        begin, end = (
            datetime.fromtimestamp(moment_ms(text, now_ms, option) / 1000, UTC)
            for text, option in ((from_, "--from"), (to, "--to"))
        )
        if end <= begin:
            raise ValueError("--to must be later than --from")
        wanted = Wanted(Range(begin, end, tenant), Evaluator(evaluator), model, warn, page)
        client = connect(config.clickhouse)
        done = asyncio.run(Rescore(config, wanted).run(client, told, dry_run=dry_run))
        client.close()
    if dry_run:
        text = f"{done.version}: {done.calls:,} calls to judge; nothing was"
    else:
        text = (
            f"{done.version}: {done.calls:,} calls judged, {done.scored:,} with a score, "
            f"{done.flagged:,} flagged, {done.failed:,} failed; of {done.before:,} scored before, "
            f"{done.only_now:,} flagged only now, {done.only_before:,} only before, "
            f"{done.other_texts:,} on other texts"
        )
    console.print(text, highlight=False, soft_wrap=True)

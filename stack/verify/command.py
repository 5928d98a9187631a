"""``streamgauge verify`` as a person runs it: progress while sending, then while settling."""

import asyncio
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sql.client import connect

from schemas.config import Config
from stack.verify.generator import Sender, plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import Report, check_until_settled


def run_verify(
    config: Config,
    endpoint: str,
    traces: int,
    rate: float,
    seed: int,
    journal: Path,
    service: str,
    wait_s: float,
    console: Console,
) -> Report:
    """Send ``traces`` traces (none: use the journal as it is), wait, compare, return the report."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        if traces:
            journal.unlink(missing_ok=True)
            parcels = plan(service, traces, rate, seed)
            task = progress.add_task("spans acknowledged", total=sum(len(p.spans) for p in parcels))
            with JournalWriter(journal) as writer:
                sender = Sender(
                    writer,
                    endpoint,
                    config.kafka,
                    stop_after_s=traces / rate + wait_s,
                    on_ack=lambda spans: progress.advance(task, spans),
                )
                asyncio.run(sender.send(parcels))
        settle = progress.add_task("spans stored", total=None)

        def show(report: Report) -> None:
            missing = len({item.rsplit(" ", 1)[-1] for item in report.lost})
            progress.update(settle, total=report.acked, completed=report.acked - missing)

        return check_until_settled(
            connect(config.clickhouse), lambda: read_journal(journal), service, wait_s, show
        )

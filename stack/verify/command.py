"""``streamgauge verify`` as a person runs it: progress while sending, then while settling."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.config import Config
from sql.client import connect
from stack.verify.generator import Sender, plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import Report, check_until_settled


@dataclass(frozen=True, slots=True)
class VerifyRun:
    """What to send and where. ``rate`` is traces a second; no traces means: only check."""

    endpoint: str
    traces: int
    rate: float
    seed: int
    service: str
    journal: Path
    wait_s: float


def run_verify(config: Config, run: VerifyRun, console: Console) -> Report:
    """Send the traces, wait until they are stored, compare, return the report."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        if run.traces:
            run.journal.unlink(missing_ok=True)
            parcels = plan(run.service, run.traces, run.rate, run.seed)
            task = progress.add_task("spans acknowledged", total=sum(len(p.spans) for p in parcels))
            with JournalWriter(run.journal) as writer:
                sender = Sender(
                    writer,
                    run.endpoint,
                    config.kafka,
                    stop_after_s=run.traces / run.rate + run.wait_s,
                    on_ack=lambda parcel: progress.advance(task, len(parcel.spans)),
                )
                asyncio.run(sender.send(parcels))
        settle = progress.add_task("spans stored", total=None)

        def show(report: Report) -> None:
            missing = len({item.rsplit(" ", 1)[-1] for item in report.lost})
            progress.update(settle, total=report.acked, completed=report.acked - missing)

        return check_until_settled(
            connect(config.clickhouse),
            lambda: read_journal(run.journal),
            run.service,
            run.wait_s,
            show,
        )

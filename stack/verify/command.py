"""``streamgauge verify`` as a person runs it: progress while sending, then while settling."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.config import Config
from schemas.rules import load_rules
from schemas.secrets import readable, secret_text
from sql.client import connect
from stack.verify.alerts import AlertReport, check_alerts
from stack.verify.generator import Parcel, plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import Report, check_until_settled
from stack.verify.sender import Sender
from stack.verify.windows import WindowReport, check_windows


@dataclass(frozen=True, slots=True)
class VerifyRun:
    """What to send and where. ``rate`` is traces a second; no traces means: only check.

    ``api_key_file`` holds the key of a gateway that asks for one, ``ca_file`` the authority of its
    certificate if it is not a public one.
    """

    endpoint: str
    grpc_target: str
    traces: int
    rate: float
    seed: int
    service: str
    journal: Path
    wait_s: float
    api_key_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All three comparisons, and the routes by which nothing got success: no proof of them."""

    delivery: Report
    alerts: AlertReport
    windows: WindowReport
    unproved: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        alerts = self.alerts
        wrong = alerts.lost or alerts.duplicates or alerts.phantoms or self.windows.differ
        return self.delivery.clean and not wrong and not self.unproved

    def items(self) -> list[tuple[str, str]]:
        """What is wrong: kind and item."""
        delivery, alerts = self.delivery, self.alerts
        kinds = (
            ("lost", delivery.lost),
            ("duplicate", delivery.duplicates),
            ("phantom", delivery.phantoms),
            ("alert lost", alerts.lost),
            ("alert twice", alerts.duplicates),
            ("alert without reason", alerts.phantoms),
            ("window differs", self.windows.differ),
            ("nothing acknowledged by", self.unproved),
        )
        return [(kind, item) for kind, items in kinds for item in items]

    def summary(self) -> str:
        """Counts, in one line."""
        alerts, windows = self.alerts, self.windows
        wrong = len(alerts.lost) + len(alerts.duplicates) + len(alerts.phantoms)
        return (
            f"{self.delivery.summary()} alerts={alerts.expected} alerts_wrong={wrong} "
            f"windows={windows.compared} windows_unsealed={windows.unsealed} "
            f"windows_wrong={len(windows.differ)}"
        )


def run_verify(config: Config, run: VerifyRun, console: Console) -> Verdict:
    """Send the traces, wait until they are stored, compare, return what was found.

    Raises clickhouse-connect's errors, ``SecretFileError`` for a key or authority that cannot be
    read, and ``RuleError`` for rules.
    """
    unproved: list[str] = []
    rules = load_rules(config.watch.rules_file)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        if run.traces:
            unproved = _send(config, run, progress)
        settle = progress.add_task("spans stored", total=None)

        def show(report: Report) -> None:
            missing = len({item.rsplit(" ", 1)[-1] for item in report.lost})
            progress.update(settle, total=report.acked, completed=report.acked - missing)

        client = connect(config.clickhouse)
        report = check_until_settled(
            client, lambda: read_journal(run.journal), run.service, run.wait_s, show
        )
    return Verdict(
        report,
        check_alerts(client, rules, run.service),
        check_windows(client, run.service),
        unproved,
    )


def _send(config: Config, run: VerifyRun, progress: Progress) -> list[str]:
    """Send; the routes by which not one request of many got success."""
    key = secret_text(SecretStr(""), run.api_key_file, "--api-key-file")
    readable(run.ca_file, "--ca-file")
    run.journal.unlink(missing_ok=True)
    parcels = plan(run.service, run.traces, run.rate, run.seed)
    sent = sum(len(parcel.spans) for parcel in parcels if not parcel.logged)
    task = progress.add_task("spans acknowledged", total=sent)
    taken: set[str] = set()

    def note(parcel: Parcel) -> None:
        taken.add(parcel.route)
        progress.advance(task, 0 if parcel.logged else len(parcel.spans))

    with JournalWriter(run.journal) as writer:
        sender = Sender(
            writer,
            run.endpoint,
            config.kafka,
            stop_after_s=run.traces / run.rate + run.wait_s,
            on_ack=note,
            grpc_target=run.grpc_target,
            api_key=key,
            ca_file=run.ca_file,
        )
        asyncio.run(sender.send(parcels))
    return sorted({parcel.route for parcel in parcels} - taken)

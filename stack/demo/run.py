"""The demo, in the order a newcomer meets it: start, traffic, verdicts, alert, queries, your turn.

Status 0 with ``--once`` means that all of it happened: conversations sent, verdicts seen in
ClickHouse, an alert taken by a webhook, five queries answered.
"""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from schemas.config import Config
from schemas.evaluators import EVERY_CALL
from schemas.receivers import WebhookReceiver
from sql.client import connect
from stack.demo.sample_app import SENT_PREFIX
from stack.demo.webhook import WebhookInbox
from stack.errors import StackError
from stack.running import demo_folder, stack_runs
from stack.up import Stack, start_stack

POLL_S = 0.5
SETTLE_S = 30.0
ALERT_S = 20.0
ROWS_SHOWN = 14
QUERIES = Path(__file__).resolve().parents[2] / "sql" / "queries"
PIPE_WIDTH = 120
ANALYST_QUERIES = {
    "flagged_recently": ("service_name", "evaluator", "target", "score", "label", "excerpt"),
    "flag_rates": ("service_name", "evaluator", "scored", "flagged_calls", "rate", "rate_high"),
    "coverage": (
        "service_name",
        "evaluator",
        "operations_n",
        "scored_n",
        "coverage_rate",
        "not_applicable_n",
        "missing_n",
    ),
    "cost_by_model": ("provider", "model", "calls_n", "priced_n", "usd", "tokens_in", "tokens_out"),
    "latency": ("service_name", "model", "kind", "calls", "p50_ms", "p95_ms", "errors"),
}
"""Cookbook queries the demo runs, with the columns that fit a terminal."""

VERDICTS_SQL = """
SELECT formatDateTime(span_end, '%H:%i:%S'), service_name, model, evaluator, target,
       round(score, 3), label, excerpt, trace_id, span_id
FROM v_flagged WHERE environment = 'demo' AND target != 'operation'
ORDER BY span_end DESC, trace_id, span_id, evaluator, target LIMIT {rows:UInt32}
"""
COUNTS_SQL = """
SELECT evaluator, countIf(state = 'ok') AS scored, countIf(label = 'warn') AS warn,
       countIf(label = 'page') AS page, countIf(state = 'not_applicable') AS nothing_to_judge
FROM v_verdicts WHERE environment = 'demo' AND target = 'operation'
GROUP BY evaluator ORDER BY evaluator
"""
CURL_SQL = "SELECT evaluator, label, count() FROM v_verdicts GROUP BY ALL"
CALLS_SQL = "SELECT count() FROM v_calls WHERE environment = 'demo'"
VERDICT_ROWS_SQL = """
SELECT count() FROM v_verdicts
WHERE environment = 'demo' AND target = 'operation' AND evaluator IN {evaluators:Array(String)}
"""
LABEL_STYLE = {"warn": "yellow", "page": "bold red", "pass": "green"}


@dataclass(slots=True)
class Seen:
    """What happened so far: the demo's own acceptance."""

    sent: bool = False
    verdicts: bool = False
    alert: bool = False
    queries: int = 0
    printed: set[tuple[str, ...]] = field(default_factory=set)

    def missing(self) -> list[str]:
        """What did not happen, in words."""
        checks = {
            "not every call that was sent reached ClickHouse": self.sent,
            "not every call has its verdicts": self.verdicts,
            "no alert reached the webhook": self.alert,
            "not all five queries answered": self.queries == len(ANALYST_QUERIES),
        }
        return [text for text, happened in checks.items() if not happened]


def _verdict_table(client: Client) -> tuple[Table, list[tuple[Any, ...]]]:
    rows = client.query(VERDICTS_SQL, parameters={"rows": ROWS_SHOWN}).result_rows
    table = Table(title="Flagged, newest first", expand=True, title_justify="left")
    for name in ("time", "service", "model", "evaluator", "target", "score", "label"):
        table.add_column(name, no_wrap=True)
    table.add_column("what caused it (redacted)", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        label = str(row[6])
        cells = [str(value) for value in row[:6]]
        excerpt = str(row[7]).replace("\n", " ").replace("[", r"\[")
        table.add_row(*cells, f"[{LABEL_STYLE[label]}]{label}[/]", excerpt)
    return table, list(rows)


def _count_table(client: Client) -> Table:
    result = client.query(COUNTS_SQL)
    table = Table(title="Verdicts so far, one per call and evaluator", title_justify="left")
    for name in result.column_names:
        table.add_column(str(name).replace("_", " "), justify="right")
    for row in result.result_rows:
        table.add_row(*(str(value) for value in row))
    return table


async def _calls_sent(sender: asyncio.subprocess.Process) -> int:
    """GenAI calls the sample application says it sent, when it has ended; 0 if it failed."""
    assert sender.stdout is not None  # noqa: S101 - it was started with a pipe
    calls = 0
    async for line in sender.stdout:
        if line.startswith(SENT_PREFIX.encode()):
            calls = int(line.removeprefix(SENT_PREFIX.encode()).split()[0])
    return calls if await sender.wait() == 0 else 0


class Demo:
    """One run. ``console`` may be a pipe: then rows are printed once instead of redrawn."""

    def __init__(self, config: Config, count: int, rate: float, console: Console) -> None:
        self._config = config
        self._count = count
        self._rate = rate
        self._console = console
        self.seen = Seen()

    async def run(self, once: bool) -> None:
        """Everything; returns when done (once) or when interrupted."""
        async with WebhookInbox() as inbox:
            self._config.notify.receivers.append(WebhookReceiver(name="demo", url=inbox.url))
            async with self._stack() as stack:
                client = await asyncio.to_thread(connect, stack.config.clickhouse)
                self._console.rule("[bold]Sample traffic: the stock OpenTelemetry SDK")
                await self._watch_traffic(stack, client, inbox)
                await self._show_alert(inbox)
                await asyncio.to_thread(self._ask_questions, client)
                self._console.print(self._your_turn(stack))
                if not once:
                    self._console.print("[dim]Running. Ctrl-C stops everything.[/]")
                    await asyncio.Event().wait()

    @asynccontextmanager
    async def _stack(self) -> AsyncIterator[Stack]:
        started = time.monotonic()
        self._console.rule("[bold]Starting Kafka, ClickHouse, the gateway and seven stages")

        def progress(line: str) -> None:
            self._console.print(f"  {time.monotonic() - started:5.1f} s  {line}", highlight=False)

        stack = await start_stack(self._config, progress=progress)
        try:
            memory_mib = stack.pss_bytes() / (1 << 20)
            self._console.print(f"  ready; memory at rest {memory_mib:,.0f} MiB", highlight=False)
            yield stack
            memory_mib = stack.pss_bytes() / (1 << 20)
            self._console.print(f"memory at the end {memory_mib:,.0f} MiB", highlight=False)
        finally:
            await stack.stop()

    async def _watch_traffic(self, stack: Stack, client: Client, inbox: WebhookInbox) -> None:
        endpoint = f"http://127.0.0.1:{stack.config.gateway.http_port}"
        arguments = ("--endpoint", endpoint, "--count", str(self._count), "--rate", str(self._rate))
        sender = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stack.demo.sample_app", *arguments,
            stdout=asyncio.subprocess.PIPE, cwd=QUERIES.parents[1],
        )  # fmt: skip
        try:
            if self._console.is_terminal:
                with Live(console=self._console, refresh_per_second=4, transient=False) as live:
                    await self._poll(client, sender, inbox, live)
            else:
                await self._poll(client, sender, inbox, None)
        finally:
            if sender.returncode is None:
                sender.kill()
                await sender.wait()

    async def _poll(
        self,
        client: Client,
        sender: asyncio.subprocess.Process,
        inbox: WebhookInbox,
        live: Live | None,
    ) -> None:
        """Redraw until the traffic is sent and every call that was sent has its verdicts."""
        expected = asyncio.create_task(_calls_sent(sender))
        deadline = time.monotonic() + self._count / self._rate + SETTLE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(ClickHouseError):
                calls, verdicts = await asyncio.to_thread(self._draw, client, inbox, live)
                self.seen.sent = expected.done() and calls == expected.result() > 0
                self.seen.verdicts = self.seen.sent and verdicts == calls * len(EVERY_CALL)
                if self.seen.verdicts:
                    return
            await asyncio.sleep(POLL_S)
        expected.cancel()

    def _draw(self, client: Client, inbox: WebhookInbox, live: Live | None) -> tuple[int, int]:
        """Show what is stored now; returns the numbers of calls and of their verdicts."""
        table, rows = _verdict_table(client)
        calls = int(client.query(CALLS_SQL).result_rows[0][0])
        asked = {"evaluators": [str(evaluator) for evaluator in EVERY_CALL]}
        verdicts = int(client.query(VERDICT_ROWS_SQL, parameters=asked).result_rows[0][0])
        status = f"{calls} calls stored, {verdicts} verdicts, {len(inbox.alerts)} alerts delivered"
        if live is not None:
            live.update(Group(table, _count_table(client), status))
        else:
            self._print_new(rows, status)
        return calls, verdicts

    def _print_new(self, rows: list[tuple[Any, ...]], status: str) -> None:
        for row in reversed(rows):
            key = tuple(str(row[i]) for i in (8, 9, 3, 4))
            if key not in self.seen.printed:
                self.seen.printed.add(key)
                line = "  ".join(str(value).replace("\n", " ") for value in row[:8])
                self._console.print(
                    f"  {line}"[:160], highlight=False, markup=False, soft_wrap=True
                )
        self._console.print(f"  -- {status}", highlight=False, markup=False)

    async def _show_alert(self, inbox: WebhookInbox) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(inbox.arrived.wait(), ALERT_S)
        self.seen.alert = bool(inbox.alerts)
        for alert in inbox.alerts[:3]:
            labels = ", ".join(f"{k}={v}" for k, v in sorted(alert["labels"].items()))
            notes = "\n".join(f"{k}: {v}" for k, v in sorted(alert["annotations"].items()))
            title = f"ALERT {alert['status']}, delivered to {inbox.url}"
            text = f"{labels}\nsince {alert['startsAt']}\n{notes}".replace("[", r"\[")
            self._console.print(Panel(text, title=title, border_style="red", title_align="left"))

    def _ask_questions(self, client: Client) -> None:
        self._console.rule("[bold]Five questions an analyst asks")
        for name, columns in ANALYST_QUERIES.items():
            query = (QUERIES / f"{name}.sql").read_text()
            question = next(line[3:] for line in query.splitlines() if line.startswith("-- "))
            result = client.query(query)
            table = Table(title=f"{question}  [dim]sql/queries/{name}.sql[/]", title_justify="left")
            for column in columns:
                table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=64)
            for row in list(result.named_results())[:8]:
                cells = (str(row[column]).replace("\n", " ") for column in columns)
                table.add_row(*(cell.replace("[", r"\[") for cell in cells))
            self._console.print(table)
            self.seen.queries += bool(result.result_rows)

    def _your_turn(self, stack: Stack) -> Panel:
        port = stack.config.gateway.http_port
        text = (
            f"OTLP/HTTP   http://127.0.0.1:{port}/v1/traces\n"
            f"ClickHouse  {stack.config.clickhouse.url}   (read-only; any client)\n"
            f"Kafka       {stack.config.kafka.bootstrap_servers}   (topic otlp_spans)\n"
            f"Metrics     http://127.0.0.1:{stack.config.runtime.metrics_base_port}/metrics\n\n"
            f"curl '{stack.config.clickhouse.url}/' --data-binary '{CURL_SQL}'\n\n"
            "Your own traces, from any OpenTelemetry SDK:\n"
            f"  export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{port}\n"
            "  export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
            "  export OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"
        )
        return Panel(text, title="Your turn", title_align="left")


def run_demo(config: Config, *, once: bool, count: int, rate: float, console: Console) -> int:
    """Run the demo; the exit status: 0, 1 if something did not happen, 2 if a port is busy."""
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    # A folder of its own, empty at the start: earlier traffic would answer the demo's questions.
    config.runtime.data_dir = demo_folder(config.runtime.data_dir)
    if stack_runs(config.runtime.data_dir):
        console.print(f"[red]another demo runs on {config.runtime.data_dir}[/]")
        return 2
    shutil.rmtree(config.runtime.data_dir, ignore_errors=True)
    demo = Demo(config, count, rate, console)
    try:
        asyncio.run(demo.run(once))
    except StackError as error:
        console.print(f"[red]{error}[/]")
        return 2
    except KeyboardInterrupt:
        console.print("stopped")
        return 0
    for line in demo.seen.missing():
        console.print(f"[red]not shown:[/] {line}")
    return 1 if demo.seen.missing() else 0

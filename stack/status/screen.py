"""The report for people: one screen, the answer first."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stack.printable import counted, printable
from stack.status.report import Report
from stack.status.tables import ALERTS_SHOWN, Coverage, Tables
from stack.times import clock_time, duration

_OWNERS = {"us": "It is us", "app": "It is the application"}


def screen(report: Report) -> Group:
    """Everything, top down: the answer, Kafka's side, ClickHouse's side."""
    return Group(*_answer(report), "", *_kafka(report), "", *_clickhouse(report))


def _answer(report: Report) -> Iterator[RenderableType]:
    stamp = f"  {clock_time(report.at_ms)} UTC"
    if not report.findings:
        yield Text.assemble(("Healthy", "bold green"), stamp)
        return
    owners = [_OWNERS[whose] for whose in ("us", "app") if _has(report, whose)]
    said = " and ".join([owners[0], *(owner[0].lower() + owner[1:] for owner in owners[1:])])
    yield Text.assemble((said, "bold red"), stamp)
    for finding in report.findings:
        mark = "us " if finding.whose == "us" else "app"
        yield Text.assemble("  ", (mark, "red" if mark == "us " else "yellow"), f"  {finding.text}")


def _has(report: Report, whose: str) -> bool:
    return any(finding.whose == whose for finding in report.findings)


def _kafka(report: Report) -> Iterator[RenderableType]:
    if report.lag is None:
        yield _away(
            "Kafka is away",
            "Bring it back, or set kafka.bootstrap_servers. Until then the gateway answers 503 and "
            "senders retry; stages wait. Nothing that got success is lost.",
        )
        return
    table = Table("stage", "unread", "oldest unread", "topics", box=None, pad_edge=False)
    for stage in report.lag:
        age_s = report.age_s(stage)
        style = "red" if age_s > report.max_age_s else "yellow" if stage.messages else ""
        oldest = "-" if not stage.messages else "not told"
        if stage.oldest_unread_ms is not None:
            oldest = f"{duration(age_s)} ago"
        topics = ", ".join(f"{name} {messages:,}" for name, messages in stage.by_topic.items())
        idle = "" if stage.started else "nothing committed yet"
        cells = (stage.stage, f"{stage.messages:,}", oldest, topics or idle)
        table.add_row(*(Text(cell, style=style) for cell in cells))
    yield table


def _clickhouse(report: Report) -> Iterator[RenderableType]:
    tables = report.tables
    if tables is None:
        yield _away(
            "ClickHouse is away",
            "Bring it back, or set clickhouse.url. Until then rows wait in Kafka; verdicts and "
            "alerts go on.",
        )
        return
    complete = report.complete_up_to_ms
    told = "not known" if complete is None else f"{clock_time(complete)} UTC"
    newest = ", ".join(
        f"{one.source} {one.event_time:%H:%M:%S}"
        for one in tables.newest or ()
        if not one.source.startswith("ledger")
    )
    yield _line("data", f"complete up to {told}" + (f"; newest: {newest}" if newest else ""))
    yield from _calls(tables)
    if tables.coverage:
        yield _coverage(tables.coverage)
    yield from _content(tables)
    yield from _books(report)
    yield from _dead(tables)
    yield from _alerts(tables)
    for part, said in tables.failures.items():
        yield _line(part, said, "red")


def _calls(tables: Tables) -> Iterator[Text]:
    if tables.calls is None:
        return
    calls = tables.calls
    if not calls.hour:
        yield _line("calls", "none in the last hour: is anything sent, and to this address?")
        return
    rates = f"{calls.hour / 60:,.1f} a minute over the hour, {calls.five_minutes / 5:,.1f} now"
    yield _line("calls", f"{rates}, from {counted(calls.services, 'service')}")


def _coverage(coverage: list[Coverage]) -> Table:
    table = Table(
        "last hour", "scored", "eligible", "coverage", "nothing to judge, by reason", "failed",
        box=None, pad_edge=False,
    )  # fmt: skip
    for one in coverage:
        share = f"{one.scored / one.eligible:.1%}" if one.eligible else "-"
        reasons = ", ".join(f"{r or 'unsaid'} {n:,}" for r, n in sorted(one.not_applicable.items()))
        failed = Text(f"{one.failed:,}", style="red" if one.failed else "")
        cells = (one.evaluator, f"{one.scored:,}", f"{one.eligible:,}", share, reasons or "-")
        table.add_row(*(Text(printable(cell)) for cell in cells), failed)
    return table


def _content(tables: Tables) -> Iterator[Text]:
    if tables.silent is None:
        return
    if not tables.silent:
        yield _line("content", "arrives from every service")
    for one in tables.silent:
        who = f"{printable(one.service) or '(no service name)'} ({one.dialect})"
        yield _line("content", f"{who}: {one.setting}", "yellow")


def _books(report: Report) -> Iterator[Text]:
    ledger = report.ledger
    if ledger is None:
        if report.kafka_failure:
            yield _line("books", "Kafka is needed to tell", "yellow")
    elif not ledger.balanced:
        yield _line("books", "do not balance: streamgauge ledger says where", "red")
    else:
        flying = sum(account.on_the_way + account.waiting for account in ledger.accounts)
        said = ledger.open_because or f"balance, {flying:,} in flight"
        yield _line("books", f"of the last hour: {said}")


def _dead(tables: Tables) -> Iterator[Text]:
    if tables.dead is None:
        return
    if not tables.dead:
        yield _line("dead letters", "none in the last hour")
    for one in tables.dead:
        said = f"{one.letters:,} of {one.stage}: {printable(one.reason)}"
        yield _line("dead letters", f"{said}; after the cure: streamgauge replay", "red")


def _alerts(tables: Tables) -> Iterator[Text]:
    if tables.alerts is None:
        return
    if not tables.alerts:
        yield _line("alerts", "none open")
    for one in tables.alerts[:ALERTS_SHOWN]:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
        said = f"{printable(one.rule)} since {one.starts_at:%Y-%m-%d %H:%M}, "
        yield _line("alerts", f"{said}{counted(one.signals, 'signal')}  {printable(labels)}", "red")
    if len(tables.alerts) > ALERTS_SHOWN:
        yield _line("alerts", f"and {len(tables.alerts) - ALERTS_SHOWN} more", "red")


def _line(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<13}", "bold"), (text, style))


def _away(what: str, remedy: str) -> Text:
    return Text.assemble((f"{what}\n", "bold red"), f"  {remedy}")

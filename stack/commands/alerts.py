"""Commands about alerts: what fires, who has it, what it was; silences; a test of a receiver."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from stack.commands.common import app, console, one_line_errors, people_config, print_whole

alerts_app = typer.Typer(help="Alerts: list, show, ack, close, test.", no_args_is_help=True)
silence_app = typer.Typer(help="Silences: add, list, expire.", no_args_is_help=True)
app.add_typer(alerts_app, name="alerts")
app.add_typer(silence_app, name="silence")
Tenant = Annotated[str, typer.Option(help="default: the configured one")]
Author = Annotated[str, typer.Option(help="who says so", envvar="USER")]
Fingerprint = Annotated[str, typer.Argument(help="of the alert, or its beginning")]

_LIST = """
SELECT substring(fingerprint, 1, 12) AS alert, status, rule, starts_at, ends_at,
  worst_value AS value, labels
FROM v_alerts
WHERE tenant = {tenant:String} AND (status = 'firing' OR {all:UInt8})
  AND starts_at > now() - toIntervalDay({days:UInt32})
ORDER BY status, starts_at DESC LIMIT 200
"""
_SHOW = """
SELECT fingerprint, rule, status, starts_at, ends_at, worst_value, signals, labels, annotations,
  trace_ids
FROM v_alerts WHERE tenant = {tenant:String} AND startsWith(fingerprint, {mark:String})
ORDER BY starts_at DESC LIMIT 1
"""
_TOLD = """
SELECT receiver, status, outcome, ended_at, attempts, reason FROM v_alert_deliveries
WHERE tenant = {tenant:String} AND fingerprint = {mark:String} ORDER BY ended_at
"""


@alerts_app.command("list")
def alerts_list(
    every: Annotated[bool, typer.Option("--all", help="resolved ones too")] = False,
    days: Annotated[int, typer.Option(min=1, help="how far back they began")] = 7,
    tenant: Tenant = "",
) -> None:
    """Alerts that fire, the newest first."""
    with one_line_errors("alerts"):
        given = {"all": int(every), "days": days}
        names, rows = _ask(_LIST, tenant, given)
    shown = Table(*names, box=None)
    for row in rows:
        shown.add_row(*(_said(cell) for cell in row))
    print_whole(shown if rows else "no alerts")


@alerts_app.command("show")
def alerts_show(fingerprint: Fingerprint, tenant: Tenant = "") -> None:
    """One alert's newest episode: what, since when, what to do, who was told."""
    with one_line_errors("alerts"):
        names, row = _found(fingerprint, tenant)
        lines = [f"{name}: {_said(cell)}" for name, cell in zip(names, row, strict=True)]
        _, told = _ask(_TOLD, tenant, {"mark": row[0]})
    lines += [f"told: {' '.join(_said(cell) for cell in one if cell)}" for one in told]
    print_whole("\n".join(lines))


@alerts_app.command("ack")
def alerts_ack(
    fingerprint: Fingerprint,
    comment: Annotated[str, typer.Option(help="stored redacted")] = "",
    author: Author = "",
    tenant: Tenant = "",
) -> None:
    """Say that somebody is looking after it."""
    _label(fingerprint, "acknowledged", comment, author, tenant)


@alerts_app.command("close")
def alerts_close(
    fingerprint: Fingerprint,
    false_alarm: Annotated[bool, typer.Option("--false-alarm", help="nothing was wrong")] = False,
    comment: Annotated[str, typer.Option(help="what it was; stored redacted")] = "",
    author: Author = "",
    tenant: Tenant = "",
) -> None:
    """Say what it was: counted in v_alert_quality. The alert itself ends with its condition."""
    _label(fingerprint, "incorrect" if false_alarm else "correct", comment, author, tenant)


@alerts_app.command("test")
def alerts_test(
    receiver: Annotated[str, typer.Argument(help="name of a receiver of notify.receivers")],
) -> None:
    """Send a test alert to a receiver, and its end: exit status 1 if it does not take them."""
    from processors.notify.notification import alone
    from processors.notify.routes import routes
    from processors.runtime.clock import SystemClock
    from schemas.protocols import PoisonError
    from stack.trial_alert import trial_alert

    config = people_config()
    with one_line_errors("alerts"):
        chosen = [one for one in config.notify.receivers if one.name == receiver]
        if not chosen:
            named = ", ".join(one.name for one in config.notify.receivers) or "none"
            raise ValueError(f"no receiver {receiver!r}: there are {named}")
        hurried = chosen[0].model_copy(update={"give_up_s": 20.0})

        async def sent() -> None:
            (route,) = routes([hurried], SystemClock())
            try:
                for transition in trial_alert(config.tenant, time.time_ns()):
                    await route.sender.deliver(alone(transition))
            except PoisonError as error:
                raise OSError(f"not taken: {error.reason}") from None
            finally:
                await route.sender.close()

        asyncio.run(sent())
    console.print(f"{receiver} took a test alert and its end", highlight=False)


@silence_app.command("add")
def silence_add(
    matchers: Annotated[
        list[str], typer.Argument(help='such as alertname=CallsFail service="a b"')
    ],
    comment: Annotated[str, typer.Option(help="why; stored as it is", show_default=False)],
    lasts: Annotated[str, typer.Option("--for", help="how long, as 2h or 30m")] = "2h",
    author: Author = "",
    tenant: Tenant = "",
) -> None:
    """Hold back alerts whose labels meet all matchers; Alertmanagers have their own silences."""
    from schemas.durations import parse_duration
    from schemas.matchers import parse
    from sql.silences import NS_PER_S, Silence, new_silence_id, store_silence

    config = people_config()
    with one_line_errors("silence"):
        for matcher in matchers:
            parse(matcher)
        seconds = parse_duration(lasts)
        if not isinstance(seconds, int) or seconds <= 0:
            raise ValueError("--for: longer than nothing")
        if not comment.strip():
            raise ValueError("--comment: say why")
        now_ns = time.time_ns()
        silence = Silence(
            tenant or config.tenant, new_silence_id(), tuple(matchers), now_ns,
            now_ns + seconds * NS_PER_S, author, comment.strip(), now_ns,
        )  # fmt: skip
        client = _client()
        store_silence(client, silence, now_ns)
    until = datetime.fromtimestamp(silence.ends_at_ns / 1e9, UTC)
    console.print(f"{silence.silence_id} until {until:%F %T} UTC", highlight=False)


@silence_app.command("list")
def silence_list(
    every: Annotated[bool, typer.Option("--all", help="those that ended too")] = False,
    tenant: Tenant = "",
) -> None:
    """Silences that last."""
    query = """
    SELECT silence_id, state, matchers, starts_at, ends_at, author, why FROM v_silences
    WHERE tenant = {tenant:String} AND (state != 'expired' OR {all:UInt8}) ORDER BY ends_at
    """
    with one_line_errors("silence"):
        names, rows = _ask(query, tenant, {"all": int(every)})
    shown = Table(*names, box=None)
    for row in rows:
        shown.add_row(*(_said(cell) for cell in row))
    print_whole(shown if rows else "no silences")


@silence_app.command("expire")
def silence_expire(
    silence_id: Annotated[str, typer.Argument(help="of the silence")], tenant: Tenant = ""
) -> None:
    """End a silence now: what still fires is told."""
    from sql.silences import expire, silences

    config = people_config()
    with one_line_errors("silence"):
        client = _client()
        owner = tenant or config.tenant
        found = [s for s in silences(client) if (s.tenant, s.silence_id) == (owner, silence_id)]
        ended = expire(client, [replace(one) for one in found], time.time_ns())
        if not ended:
            raise ValueError(f"no silence {silence_id} lasts")
    console.print(f"{silence_id} ended", highlight=False)


def _client() -> Any:
    from sql.client import connect

    return connect(people_config().clickhouse)


def _ask(query: str, tenant: str, given: Mapping[str, object]) -> tuple[list[str], list[Any]]:
    owner = tenant or people_config().tenant
    answer = _client().query(query, parameters={"tenant": owner, **given})
    return list(answer.column_names), list(answer.result_rows)


def _found(fingerprint: str, tenant: str) -> tuple[list[str], Any]:
    names, rows = _ask(_SHOW, tenant, {"mark": fingerprint})
    if not rows:
        raise ValueError(f"no alert {fingerprint}")
    return names, rows[0]


def _label(fingerprint: str, label: str, comment: str, author: str, tenant: str) -> None:
    """Store a word on an alert's newest episode: one of each kind an episode and author."""
    from schemas.feedback import Feedback
    from schemas.identity import text_hash
    from schemas.protocols import RetryableError
    from stack.feedback import FeedbackStore

    config = people_config()
    with one_line_errors("alerts"):
        names, row = _found(fingerprint, tenant)
        episode = dict(zip(names, row, strict=True))
        kind = "ack" if label == "acknowledged" else "verdict"
        said = Feedback(
            label=label,
            alert_fingerprint=episode["fingerprint"],
            comment=comment,
            author=author,
            feedback_id=text_hash(kind, author, episode["fingerprint"], str(episode["starts_at"])),
        )
        try:
            asyncio.run(FeedbackStore(config, "cli").take(tenant or config.tenant, [said]))
        except RetryableError as error:
            raise OSError(f"not stored, ClickHouse does not answer: {error}") from None
    console.print(f"{episode['rule']}: {label}", highlight=False)


def _said(cell: object) -> str:
    if isinstance(cell, datetime):
        return f"{cell:%F %T}" if cell.year > 1970 else ""
    if isinstance(cell, dict):
        return " ".join(f'{name}="{text}"' for name, text in sorted(cell.items()))
    if isinstance(cell, list | tuple):
        return ", ".join(map(str, cell))
    return "" if cell is None else str(cell)

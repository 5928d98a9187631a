"""Commands about alert rules."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands.common import app, console, errors, one_line_errors, people_config

if TYPE_CHECKING:
    from processors.watch.view_reader import ViewReader
    from schemas.rules import QueryRule, StreamRule

rules_app = typer.Typer(help="Alert rules.", no_args_is_help=True)
app.add_typer(rules_app, name="rules")


@rules_app.command("check")
def rules_check(
    file: Annotated[
        Path | None, typer.Argument(help="a rule file; default: watch.rules_file")
    ] = None,
    ask: Annotated[
        bool, typer.Option(help="run every query once; --no-ask only reads the file")
    ] = True,
) -> None:
    """Check a rule file, and ask ClickHouse every query once: what would hold now.

    Exit status 1 if the file is refused or a query has no answer.
    """
    from processors.watch.view_reader import QueryError, ViewReader
    from schemas.rules import SignalRule, load_rules

    config = people_config()
    path = file or config.watch.rules_file
    with one_line_errors("rules"):
        rules = load_rules(path)
    failed = False
    reader = ViewReader(config)
    for rule in rules:
        if not ask or isinstance(rule, SignalRule):
            console.print(f"{rule.alert}: ok", highlight=False)
            continue
        try:
            held = asyncio.run(_holding(reader, rule))
        except QueryError as error:
            failed = True
            errors.print(f"{rule.alert}: {error}", style="red", markup=False, highlight=False)
        else:
            console.print(f"{rule.alert}: ok, {held} hold now", highlight=False)
    reader.close()
    raise typer.Exit(1 if failed else 0)


async def _holding(reader: "ViewReader", rule: "QueryRule | StreamRule") -> int:
    """How many conditions of a rule hold at the newest time it can be asked for."""
    from processors.watch.timed_alerts import Said
    from schemas.rules import StreamRule

    if isinstance(rule, StreamRule):
        sealed_s = (await reader.sealed_s()).get(rule.source, 0)
        (found,) = await reader.scan([(rule, set())], sealed_s * 1_000_000_000)
    else:
        found = await reader.ask(rule, time.time_ns() - rule.delay_s * 1_000_000_000)
    return sum(row.said is Said.HOLDS for row in found)

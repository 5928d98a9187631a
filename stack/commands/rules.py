"""Commands about alert rules."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from stack.commands.common import app, console, errors, one_line_errors, people_config

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
    from processors.watch.query_rules import QueryError, ViewReader
    from schemas.rules import QueryRule, load_rules

    config = people_config()
    path = file or config.watch.rules_file
    with one_line_errors("rules"):
        rules = load_rules(path)
    failed = False
    reader = ViewReader(config)
    for rule in rules:
        if not (ask and isinstance(rule, QueryRule)):
            console.print(f"{rule.alert}: ok", highlight=False)
            continue
        at_ns = time.time_ns() - rule.eval_delay_s * 1_000_000_000
        try:
            found = asyncio.run(reader.ask(rule, at_ns))
        except QueryError as error:
            failed = True
            errors.print(f"{rule.alert}: {error}", style="red", markup=False, highlight=False)
        else:
            console.print(f"{rule.alert}: ok, {len(found)} hold now", highlight=False)
    reader.close()
    raise typer.Exit(1 if failed else 0)

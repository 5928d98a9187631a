"""Commands about alert rules."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands.common import app, console, errors, one_line_errors, people_config, print_whole

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


@rules_app.command("test")
def rules_test(
    files: Annotated[list[Path], typer.Argument(help="files of tests (docs/alerts.md)")],
) -> None:
    """Run tests of rules, as in a CI: no server is needed. Exit status 1 if one fails."""
    from processors.watch.rule_tests import failures
    from schemas.rule_tests import RuleTestFile
    from schemas.rules import load_rules
    from schemas.strict_yaml import load_strict

    wrong: list[str] = []
    count = 0
    with one_line_errors("rules"):
        for file in files:
            read = load_strict(file, RuleTestFile, "rules test")
            rules = [rule for path in read.rule_files for rule in load_rules(file.parent / path)]
            for test in read.tests:
                count += 1
                wrong += [f"{file}: {line}" for line in failures(test, rules)]
    for line in wrong:
        errors.print(line, style="red", markup=False, highlight=False)
    console.print(f"{count} tests, {len(wrong)} differences", highlight=False)
    raise typer.Exit(1 if wrong else 0)


@rules_app.command("replay")
def rules_replay(
    start: Annotated[str, typer.Option("--from", help="ISO time, or ago as 2d")],
    end: Annotated[str, typer.Option("--to", help="ISO time, or ago; default now")] = "0s",
    file: Annotated[
        Path | None, typer.Argument(help="a rule file; default: watch.rules_file")
    ] = None,
) -> None:
    """Tell what the rules would have fired over stored data, who would have been told, and how
    often it flapped.

    Nothing is sent. Receivers are those of the configuration, with their matchers, the fallback and
    inhibition; reminders and silences are left out. Rules about drift are replayed by
    `streamgauge drift replay`.
    """
    from processors.watch.replay import Told, replayed
    from processors.watch.view_reader import QueryError, ViewReader
    from schemas.rules import DriftRule, load_rules
    from stack.rules_replay import told_story
    from stack.times import moment_ms

    config = people_config()
    told: list[Told] = []
    with one_line_errors("rules"):
        rules = load_rules(file or config.watch.rules_file)
        now_ms = time.time_ns() // 1_000_000
        span = (
            moment_ms(start, now_ms, "--from") // 1000,
            moment_ms(end, now_ms, "--to") // 1000,
        )
        reader = ViewReader(config)
        for rule in rules:
            if isinstance(rule, DriftRule):
                continue
            try:
                told += asyncio.run(replayed(reader, rule, *span))
            except QueryError as error:
                raise OSError(f"{rule.alert}: {error}") from None
        reader.close()
    story = told_story(config, told)
    counts = [
        f"{rule.alert}: {story.fired[rule.alert]} fired, {story.flaps[rule.alert]} within an hour"
        " of the last"
        for rule in rules
        if not isinstance(rule, DriftRule)
    ]
    sent = [f"{one.name}: {story.sent[one.name]} sent" for one in config.notify.receivers]
    for line in (*story.lines, *counts, *sent):
        print_whole(line)


async def _holding(reader: "ViewReader", rule: "QueryRule | StreamRule") -> int:
    """How many conditions of a rule hold at the newest time it can be asked for."""
    from processors.watch.timed_alerts import Said
    from schemas.rules import StreamRule

    if isinstance(rule, StreamRule):
        sealed_s = await reader.sealed_s()
        at_s = sealed_s.get(rule.source, 0) if rule.source else int(time.time())
        (found,) = await reader.scan([(rule, set())], at_s * 1_000_000_000)
    else:
        found = await reader.ask(rule, time.time_ns() - rule.delay_s * 1_000_000_000)
    return sum(row.said is Said.HOLDS for row in found)

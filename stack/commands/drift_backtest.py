"""``streamgauge drift replay`` and ``drift calibrate``: the detectors on your own past."""

import json as _json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from stack.commands.common import errors, one_line_errors, people_config, print_whole
from stack.commands.drift import Evaluator, Json, Metric, Service, Tenant, drift_app

Stream = Annotated[str, typer.Argument(help="stream id, see drift streams; default: all chosen")]


@drift_app.command("replay")
def replay_command(  # noqa: PLR0917 - a command's options
    stream: Stream = "",
    start: Annotated[str, typer.Option("--from", help="2026-01-31T12:00 UTC, or 7d ago")] = "7d",
    end: Annotated[str, typer.Option("--to", help="likewise; default: now")] = "0s",
    picture: Annotated[
        Path | None,
        typer.Option(help="PNG of the series, the baseline's band, the evidence and the alarms"),
    ] = None,
    detector: Annotated[str, typer.Option(help="only rate, histogram or embedding")] = "",
    metric: Metric = "",
    evaluator: Evaluator = "",
    service: Service = "",
    tenant: Tenant = "",
    json: Json = False,
) -> None:
    """When the detectors would have fired on stored windows, against what was usual at --from.

    The baseline is the four weeks before --from (or seven days, see watch.baseline), and is not
    computed again on the way. Streams with too little before --from are counted apart.
    """
    from sql.client import connect
    from stack.drift_backtest import chosen_streams, replay_streams
    from stack.times import moment_ms

    config = people_config()
    with one_line_errors("drift replay"):
        now_ms = int(time.time() * 1000)
        span = moment_ms(start, now_ms, "--from") // 1000, moment_ms(end, now_ms, "--to") // 1000
        if span[0] >= span[1]:
            raise ValueError("--from is not before --to")
        client, owner = connect(config.clickhouse), tenant or config.tenant
        chosen = {"stream": stream, "metric": metric, "evaluator": evaluator, "service": service}
        streams = chosen_streams(client, owner, chosen)
        with _progress("replaying", len(streams)) as step:
            made = list(replay_streams(client, owner, streams, span, config.watch, step))
        made = [one for one in made if detector in ("", one.detector)]
        if picture is not None:
            _draw(made, picture)
    alarms = [
        {
            "stream_id": one.stream.id, "metric": one.stream.metric,
            "evaluator": one.stream.evaluator, "labels": one.stream.label,
            "detector": one.detector, "fired_at": _utc(alarm.bucket),
            "since": _utc(alarm.verdict.since), "state": str(alarm.verdict.state),
            "severity": str(alarm.verdict.severity),
            "effect": asdict(alarm.verdict.effect) if alarm.verdict.effect else None,
        }
        for one in made
        if one.found
        for alarm in one.found.alarms
    ]  # fmt: skip
    alarms.sort(key=lambda alarm: str(alarm["fired_at"]))
    without = sum(one.found is None for one in made)
    said = f"{len(made)} detectors on {len(streams)} streams: {len(alarms)} alarms"
    _print(alarms, said + (f"; {without} without a baseline at --from" if without else ""), json)


@drift_app.command("calibrate")
def calibrate_command(
    stream: Stream = "",
    metric: Metric = "",
    evaluator: Evaluator = "",
    service: Service = "",
    tenant: Tenant = "",
    json: Json = False,
) -> None:
    """False alarms to expect in 30 days and the delay for each effect, on your own windows.

    Days of the past weeks are put together at random, changes of known size put into them, and the
    detectors run with the thresholds they have. Effects are factors on a rate, PSI, or of
    embeddings standard deviations. A few seconds a stream: choose some.
    """
    from sql.client import connect
    from stack.drift_backtest import calibrate_streams, chosen_streams

    config = people_config()
    with one_line_errors("drift calibrate"):
        client, owner = connect(config.clickhouse), tenant or config.tenant
        chosen = {"stream": stream, "metric": metric, "evaluator": evaluator, "service": service}
        streams = chosen_streams(client, owner, chosen)
        now_s = int(time.time())
        with _progress("calibrating", len(streams)) as step:
            made = list(calibrate_streams(client, owner, streams, now_s, config.watch, step))
    rows: list[dict[str, Any]] = []
    for one in made:
        threshold = one.found.threshold if one.found else None
        known = threshold.false_alarms if threshold else None
        rows.append(
            {
                "stream_id": one.stream.id, "metric": one.stream.metric,
                "evaluator": one.stream.evaluator, "labels": one.stream.label,
                "detector": one.detector, "days": threshold.days if threshold else 0,
                "false_alarms_in_30_days": None if known is None else round(known, 4),
                "delays": {
                    f"{delay.effect:g}": [delay.median_minutes, delay.p90_minutes]
                    for delay in (one.found.delays if one.found else ())
                },
            }
        )  # fmt: skip
    expected = sum(row["false_alarms_in_30_days"] or 0.0 for row in rows)
    blind = sum(row["false_alarms_in_30_days"] is None for row in rows)
    said = f"{len(rows)} detectors: {expected:.2f} false alarms expected in 30 days"
    said += "; delays in minutes, median / 90th percentile, - where not within 7 days"
    _print(rows, said + (f"; {blind} have too little past to say" if blind else ""), json)


def _draw(made: list[Any], path: Path) -> None:
    found = [one for one in made if one.found is not None]
    if len(found) != 1:
        raise ValueError(
            f"--picture is of one detector, {len(found)} with a baseline are chosen: "
            "give a stream id, and --detector if it has two"
        )
    try:
        from processors.watch.drift.picture import picture
    except ImportError:
        raise ValueError(
            "--picture needs matplotlib: pip install 'streamgauge[pictures]'"
        ) from None
    (one,) = found
    title = f"{one.stream.metric} {one.stream.evaluator} {one.stream.label}: {one.bins[-1]}"
    if one.detector == "embedding":
        path.write_bytes(picture(one.found, title, per_hour=1, value=one.bins[-1]))
    else:
        path.write_bytes(picture(one.found, title))


@contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("streams"))
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def _print(rows: list[dict[str, Any]], said: str, json: bool) -> None:
    if json:
        for row in rows:
            typer.echo(_json.dumps(row))
        errors.print(said, markup=False, highlight=False)
        return
    if rows:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*(_cell(value) for value in row.values()))
        print_whole(table)
    print_whole(said)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict) and "low" in value:
        return f"{value['value']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
    if isinstance(value, dict):
        return "  ".join(f"{key}: {_cell(a)} / {_cell(b)}" for key, (a, b) in value.items()) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _utc(bucket: int) -> str:
    from stack.times import clock_time

    return clock_time(bucket * 300_000) if bucket >= 0 else ""

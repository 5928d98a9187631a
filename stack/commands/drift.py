"""Commands about drift: streams, windows, baselines, verdicts."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from stack.commands.common import (
    app,
    console,
    one_line_errors,
    people_config,
    print_whole,
    screen_width,
)

drift_app = typer.Typer(help="Streams, windows, baselines and verdicts.", no_args_is_help=True)
baseline_app = typer.Typer(help="What streams are compared with.", no_args_is_help=True)
app.add_typer(drift_app, name="drift")
drift_app.add_typer(baseline_app, name="baseline")

Tenant = Annotated[str, typer.Option(help="default: the configured one")]
Json = Annotated[bool, typer.Option("--json", help="one object a line")]
Metric = Annotated[str, typer.Option(help="only this metric: score, duration_ns, errors, ...")]
Evaluator = Annotated[str, typer.Option(help="only this evaluator's scores")]
Service = Annotated[str, typer.Option(help="only this service.name")]
Environment = Annotated[str, typer.Option(help="only this deployment environment")]
Name = Annotated[str, typer.Argument(help="name of the baseline", show_default=False)]

_STREAMS = """
SELECT stream_id, metric, evaluator, model_version, dimensions,
  arrayStringConcat(arrayFilter(v -> v != '', mapValues(labels)), ' / ') AS label_values,
  n, flagged, round(flagged_rate, 4) AS flagged_rate, windows, last_window
FROM v_drift_streams
WHERE tenant = {tenant:String} AND {metric:String} IN ('', metric)
  AND {evaluator:String} IN ('', evaluator) AND {service:String} IN ('', labels['service_name'])
ORDER BY metric, evaluator, model_version, dimensions, label_values
"""
_WINDOWS = """
SELECT bucket, n, flagged, round(flagged_rate, 4) AS flagged_rate, round(mean, 6) AS mean,
  round(p50, 6) AS p50, round(p95, 6) AS p95
FROM v_windows
WHERE tenant = {tenant:String} AND stream_id = {stream:String}
ORDER BY bucket DESC LIMIT {limit:UInt32}
"""
_BASELINES = """
SELECT name, version, any(state) AS state, min(from_time) AS from_time, max(to_time) AS to_time,
  any(service_version) AS release, count() AS streams, sum(b.n) AS n, min(created_at) AS created_at
FROM genai_baselines AS b FINAL
WHERE tenant = {tenant:String} GROUP BY name, version ORDER BY name, version
"""
_BASELINE = """
SELECT version, state, stream_id, metric, evaluator, model_version, dimensions,
  arrayStringConcat(arrayFilter(v -> v != '', mapValues(labels)), ' / ') AS label_values,
  windows, n, flagged, round(total / n, 6) AS mean
FROM (SELECT * FROM genai_baselines FINAL) AS b
LEFT JOIN (SELECT * FROM genai_streams FINAL) AS s USING (tenant, stream_id)
WHERE tenant = {tenant:String} AND name = {name:String}
ORDER BY version, metric, evaluator, model_version, dimensions, label_values
"""


_NOW = """
SELECT stream_id, detector, metric, evaluator,
  arrayStringConcat(arrayFilter(v -> v != '', mapValues(labels)), ' / ') AS label_values,
  state, severity, round(effect, 3) AS effect, round(effect_low, 3) AS low,
  round(effect_high, 3) AS high, since, window_end, baseline, explained
FROM v_drift
WHERE tenant = {tenant:String} AND {metric:String} IN ('', metric)
  AND {evaluator:String} IN ('', evaluator) AND {service:String} IN ('', service_name)
  AND ({all:UInt8} OR state IN ('drift', 'changed'))
ORDER BY severity = 'page' DESC, severity = 'ticket' DESC, state = 'drift' DESC, metric, evaluator,
  label_values, detector
"""


@drift_app.command("now")
def verdicts(
    every: Annotated[bool, typer.Option("--all", help="the quiet ones too, with why")] = False,
    metric: Metric = "",
    evaluator: Evaluator = "",
    service: Service = "",
    tenant: Tenant = "",
    json: Json = False,
) -> None:
    """What drifts now and what the reports call changed, pages first."""
    given = {"metric": metric, "evaluator": evaluator, "service": service, "all": int(every)}
    _show("drift now", _NOW, tenant, given, json)


@drift_app.command()
def streams(
    metric: Metric = "",
    evaluator: Evaluator = "",
    service: Service = "",
    tenant: Tenant = "",
    json: Json = False,
) -> None:
    """Every stream of windows, with what it counted over seven days."""
    given = {"metric": metric, "evaluator": evaluator, "service": service}
    _show("drift streams", _STREAMS, tenant, given, json)


@drift_app.command()
def windows(
    stream: Annotated[str, typer.Argument(help="stream id, see drift streams", show_default=False)],
    limit: Annotated[int, typer.Option(help="newest windows shown")] = 48,
    tenant: Tenant = "",
    json: Json = False,
) -> None:
    """Windows of a stream, newest first; a stream without values in five minutes has none."""
    _show("drift windows", _WINDOWS, tenant, {"stream": stream, "limit": limit}, json)


@baseline_app.command("create")
def baseline_create(  # noqa: PLR0917 - a command's options
    name: Name,
    start: Annotated[str, typer.Option("--from", help="UTC, such as 2026-01-31T12:00")] = "",
    end: Annotated[str, typer.Option("--to", help="UTC; default: now")] = "",
    release: Annotated[
        str, typer.Option(help="service.version: each service's windows of that release alone")
    ] = "",
    metric: Metric = "",
    evaluator: Evaluator = "",
    service: Service = "",
    environment: Environment = "",
    tenant: Tenant = "",
) -> None:
    """Freeze windows of chosen time, or of a release, as a new version of a baseline."""
    from sql.baselines import Selection, create
    from sql.client import connect

    config = people_config()
    with one_line_errors("drift baseline create"):
        if not start and not release:
            raise ValueError("--from or --release is needed")
        first = _time(start, "--from") if start else datetime.fromtimestamp(0, UTC)
        last = _time(end, "--to") if end else datetime.now(UTC)
        if first >= last:
            raise ValueError("--from is not before --to")
        chosen = Selection(tenant or config.tenant, metric, evaluator, service, environment)
        client = connect(config.clickhouse)
        version, count = create(client, name, chosen, first, last, release)
    console.print(f"{name} version {version}: {count} streams", highlight=False)


@baseline_app.command("list")
def baseline_list(tenant: Tenant = "", json: Json = False) -> None:
    """Every baseline and version."""
    _show("drift baseline list", _BASELINES, tenant, {}, json)


@baseline_app.command("show")
def baseline_show(name: Name, tenant: Tenant = "", json: Json = False) -> None:
    """The streams of a baseline."""
    _show("drift baseline show", _BASELINE, tenant, {"name": name}, json)


@baseline_app.command("retire")
def baseline_retire(
    name: Name,
    version: Annotated[int, typer.Option(help="0 retires all")] = 0,
    tenant: Tenant = "",
) -> None:
    """Compare nothing with it any more; its counts stay."""
    from sql.baselines import retire
    from sql.client import connect

    config = people_config()
    with one_line_errors("drift baseline retire"):
        count = retire(connect(config.clickhouse), tenant or config.tenant, name, version)
    console.print(f"{name}: retired for {count} streams", highlight=False)


def _show(part: str, query: str, tenant: str, given: Mapping[str, object], json: bool) -> None:
    from sql.client import connect
    from stack.sql_output import layout, read, write

    config = people_config()
    parameters = {"tenant": tenant or config.tenant, **{k: str(v) for k, v in given.items()}}
    with one_line_errors(part):
        client = connect(config.clickhouse)
        if json:
            write(client, query, parameters, "json", 0, sys.stdout.buffer)
            return
        found = read(client, query, parameters, 0)
    print_whole(layout(found, screen_width(), vertical=False))


def _time(text: str, option: str) -> datetime:
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{option} {text}: a time such as 2026-01-31T12:00 is needed") from None
    return said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)

"""Fixed baselines: windows of chosen time merged into ``genai_baselines``, frozen and versioned."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from clickhouse_connect.driver.client import Client

from sql.windows import SETTINGS

_RESERVED = frozenset({"", "seasonal", "previous", "predecessor"})


class BaselineError(ValueError):
    """Nothing to make a baseline of, or none of that name."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which streams; an empty text does not choose."""

    tenant: str
    metric: str = ""
    evaluator: str = ""
    service: str = ""
    environment: str = ""


def create(
    client: Client, name: str, chosen: Selection, start: datetime, end: datetime, release: str = ""
) -> tuple[int, int]:
    """Merge the windows of [start, end) for each chosen stream; (version, number of streams).

    With ``release``, a service's streams get the windows of that release alone. Raises
    :class:`BaselineError` without any window or for a kind's name, and clickhouse-connect's errors.
    """
    if name in _RESERVED:
        raise BaselineError(f"baseline {name}: that is the name of a kind; choose another")
    given = {**_given(chosen), "name": name}
    found = _number(client, _LAST, given)
    version = found + 1
    given |= {"version": version, "from": start, "to": end, "release": release}
    client.command(_CREATE_OF_RELEASE if release else _CREATE, parameters=given, settings=SETTINGS)
    if not (streams := _number(client, _STREAMS, given)):
        raise BaselineError(f"baseline {name}: no window of such streams in that time")
    return version, streams


def retire(client: Client, tenant: str, name: str, version: int) -> int:
    """Mark a version, or all (0), as retired; the number of streams. Raises as :func:`create`."""
    given = {"tenant": tenant, "name": name, "version": version}
    if not (streams := _number(client, _ACTIVE, given)):
        raise BaselineError(f"baseline {name}: no active one of that name and version")
    client.command(_RETIRE, parameters=given, settings=SETTINGS)
    return streams


def _given(chosen: Selection) -> dict[str, object]:
    return {
        "tenant": chosen.tenant,
        "metric": chosen.metric,
        "evaluator": chosen.evaluator,
        "service": chosen.service,
        "environment": chosen.environment,
    }


def _number(client: Client, query: str, given: Mapping[str, object]) -> int:
    ((number,),) = client.query(query, parameters=dict(given), settings=SETTINGS).result_rows
    return int(str(number))


_ONE = "tenant = {tenant:String} AND name = {name:String}"
_LAST = f"SELECT max(version) FROM genai_baselines FINAL WHERE {_ONE}"  # noqa: S608
_STREAMS = f"""
SELECT count() FROM genai_baselines FINAL WHERE {_ONE} AND version = {{version:UInt32}}
"""  # noqa: S608
_LIVING = f"{_ONE} AND {{version:UInt32}} IN (0, version) AND state = 'active'"
_ACTIVE = f"SELECT count() FROM genai_baselines FINAL WHERE {_LIVING}"  # noqa: S608
_COLUMNS = (
    "tenant, name, version, stream_id, revision, kind, state, source_stream_id, from_time, "
    "to_time, service_version, edges, windows, n, flagged, total, squares, hist, sketch, "
    "created_at, vector_sums, vector_squares, vector_fourths"
)
_NOW = "toUInt64(toUnixTimestamp64Nano(now64(9)))"
_RETIRE = f"""
INSERT INTO genai_baselines ({_COLUMNS})
SELECT {_COLUMNS.replace("revision", _NOW).replace("state", "'retired'", 1)}
FROM genai_baselines FINAL WHERE {_LIVING}
"""  # noqa: S608
_CHOSEN = """
  SELECT * FROM genai_streams FINAL
  WHERE tenant = {tenant:String} AND {metric:String} IN ('', metric)
    AND {evaluator:String} IN ('', evaluator)
    AND {service:String} IN ('', labels['service_name'])
    AND {environment:String} IN ('', labels['environment'])
"""


def _create(streams: str) -> str:
    """INSERT of a row for each of ``streams``: (stream_id, source, edges)."""
    return f"""
INSERT INTO genai_baselines ({_COLUMNS})
SELECT {{tenant:String}}, {{name:String}}, {{version:UInt32}}, s.stream_id, {_NOW},
  'fixed', 'active', any(s.source), {{from:DateTime('UTC')}}, {{to:DateTime('UTC')}},
  {{release:String}}, any(s.edges), count(), sum(w.n), sum(w.flagged), sum(w.total),
  sum(w.squares), sumForEach(w.hist), sumMap(w.sketch), now64(3), sumForEach(w.vector_sums),
  sumForEach(w.vector_squares), sumForEach(w.vector_fourths)
FROM
(
  SELECT * FROM genai_windows FINAL
  WHERE tenant = {{tenant:String}} AND n > 0
    AND day >= toDate({{from:DateTime('UTC')}}) AND day <= toDate({{to:DateTime('UTC')}})
    AND bucket >= {{from:DateTime('UTC')}} AND bucket < {{to:DateTime('UTC')}}
) AS w
INNER JOIN ({streams}) AS s ON w.stream_id = s.source
GROUP BY s.stream_id
"""  # noqa: S608


_CREATE = _create(f"SELECT stream_id, stream_id AS source, edges FROM ({_CHOSEN})")  # noqa: S608
_SAME = " AND ".join(
    f"t.{same} = r.{same}"
    for same in (
        "family", "metric", "evaluator", "model_version",
        "labels['service_name']", "labels['environment']",
    )
)  # fmt: skip
_CREATE_OF_RELEASE = _create(f"""
  SELECT t.stream_id AS stream_id, r.stream_id AS source, t.edges AS edges
  FROM (SELECT * FROM ({_CHOSEN}) WHERE dimensions = 'service') AS t
  INNER JOIN
  (
    SELECT * FROM ({_CHOSEN})
    WHERE dimensions = 'release' AND labels['service_version'] = {{release:String}}
  ) AS r ON {_SAME}
""")  # noqa: S608

"""Which buckets the writer of windows looks at again: rows that came late, and the first ones."""

from schemas.streams import FAMILIES
from sql.windows import BUCKET, END, LONGEST_SPAN_DAYS


def late_query(table: str) -> str:
    """Buckets below ``{sealed}`` with rows inserted from ``{since}`` on, with their number.

    ``n`` counts those that this look is the first to see, inserted from ``{seen}`` on. A bucket
    whose windows were computed a minute after its last row came is not among them. Rows whose
    operation came late (a duplicate known late, a prompt's version) count in their bucket too.
    """
    families = ", ".join(f"'{family.name}'" for family in FAMILIES if family.source == table)
    sources = dict.fromkeys((table, "genai_operations"))
    rows = " UNION ALL ".join(_inserted(source, own=source == table) for source in sources)
    return f"""
SELECT toUnixTimestamp(r.bucket) AS bucket, r.n AS n
FROM
(
  SELECT bucket, countIf(own AND inserted_at >= toDateTime({{seen:UInt32}}, 'UTC')) AS n,
    max(inserted_at) AS newest
  FROM ({rows}) GROUP BY bucket
) AS r
LEFT JOIN
(
  SELECT bucket, intDiv(max(revision), 1000000000) AS computed
  FROM genai_windows
  WHERE day >= toDate(toDateTime({{oldest:UInt32}}, 'UTC')) AND family IN ({families})
  GROUP BY bucket
) AS w ON r.bucket = w.bucket
WHERE toUnixTimestamp(r.newest) + {{overlap:UInt32}} >= w.computed
ORDER BY bucket
"""  # noqa: S608


def first_row_query(table: str) -> str:
    """Bucket of the first row that ends from ``{since}`` on; null without one."""
    end = END[table]
    return f"""
SELECT toUnixTimestamp(toStartOfFiveMinutes(toDateTime(minOrNull({end}), 'UTC')))
FROM {table}
WHERE day >= toDate(toDateTime({{since:UInt32}}, 'UTC')) - {LONGEST_SPAN_DAYS}
  AND {end} >= fromUnixTimestamp({{since:UInt32}})
"""  # noqa: S608


def _inserted(table: str, own: bool) -> str:
    """Rows of a table inserted lately into sealed buckets."""
    end = END[table]
    return f"""
    SELECT {BUCKET.format(end=end)} AS bucket, inserted_at, {own} AS own
    FROM {table}
    WHERE inserted_at >= toDateTime({{since:UInt32}}, 'UTC')
      AND day >= toDate(toDateTime({{oldest:UInt32}}, 'UTC'))
      AND {end} >= fromUnixTimestamp({{oldest:UInt32}})
      AND {end} < fromUnixTimestamp({{sealed:UInt32}})
"""  # noqa: S608

-- How old is the newest data, and does any part of the line lag behind the others?
-- Group: Freshness and the books.
-- Meaning: newest event stored and when; behind_newest_s is how much older it is than
-- the newest of that tenant.
-- n: rows stored of that source.
SELECT tenant, source, n, event_time, inserted_at, seconds_since_insert,
  dateDiff('second', event_time, max(event_time) OVER (PARTITION BY tenant)) AS behind_newest_s
FROM v_freshness
ORDER BY tenant, source

-- How does the duration of calls move, by model, from windows alone?
-- Group: Latency and errors.
-- Meaning: windows of the last day merged to hours by adding the counts of their sketches; quantiles are within 1%.
-- n: timed, the calls counted.
WITH (m, share) -> mapKeys(m)[arrayFirstIndex(c -> c > share * (arraySum(mapValues(m)) - 1),
    arrayCumSum(mapValues(m)))] AS at,
  k -> if(k = -32768, 0., pow(1.01 / 0.99, k) * 2 / (1 + 1.01 / 0.99)) AS number_of
SELECT labels['service_name'] AS service_name, labels['model'] AS model,
  toStartOfHour(bucket) AS hour, sum(n) AS timed,
  round(number_of(at(sumMap(sketch) AS merged, 0.5)) / 1e9, 3) AS p50_s,
  round(number_of(at(merged, 0.95)) / 1e9, 3) AS p95_s
FROM v_windows
WHERE family = 'calls' AND metric = 'duration_ns' AND dimensions = 'model' AND day >= today() - 1
GROUP BY service_name, model, hour
ORDER BY service_name, model, hour
LIMIT 500

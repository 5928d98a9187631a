-- Which streams differ most between the last day and the six before, and by how much?
-- Group: Versions compared.
-- Meaning: PSI, Jensen-Shannon (base 2), Hellinger, Kolmogorov-Smirnov and L-infinity distances of the binned values, from windows alone; PSI with half a value added to every bin. A distance says how much, not whether it is noise.
-- n: n_now and n_before; of few values every distance is large.
WITH arrayMap(x -> (x + 0.5) / (n_now + 0.5 * length(now)), now) AS q,
  arrayMap(x -> (x + 0.5) / (n_before + 0.5 * length(before)), before) AS p,
  arrayMap(x -> x / n_now, now) AS q0, arrayMap(x -> x / n_before, before) AS p0
SELECT stream_id, metric, evaluator, dimensions, labels, n_now, n_before,
  round(arraySum((a, b) -> (b - a) * log(b / a), p, q), 5) AS psi,
  round(sqrt(greatest(0, 0.5 * arraySum((a, b) -> if(a > 0, a * log2(2 * a / (a + b)), 0)
    + if(b > 0, b * log2(2 * b / (a + b)), 0), p0, q0))), 5) AS js,
  round(sqrt(greatest(0, 1 - arraySum((a, b) -> sqrt(a * b), p0, q0))), 5) AS hellinger,
  round(arrayMax(arrayMap((a, b) -> abs(a - b), arrayCumSum(p0), arrayCumSum(q0))), 5) AS ks,
  round(arrayMax(arrayMap((a, b) -> abs(a - b), p0, q0)), 5) AS l_infinity
FROM
(
  SELECT stream_id, any(w.metric) AS metric, any(w.evaluator) AS evaluator,
    any(w.dimensions) AS dimensions, any(w.labels) AS labels,
    sumIf(w.n, w.bucket >= now() - INTERVAL 1 DAY) AS n_now,
    sumIf(w.n, w.bucket < now() - INTERVAL 1 DAY) AS n_before,
    sumForEachIf(w.hist, w.bucket >= now() - INTERVAL 1 DAY) AS now,
    sumForEachIf(w.hist, w.bucket < now() - INTERVAL 1 DAY) AS before
  FROM v_windows AS w
  WHERE day >= today() - 7
  GROUP BY stream_id
)
WHERE n_now > 0 AND n_before > 0
ORDER BY psi DESC, stream_id
LIMIT 50

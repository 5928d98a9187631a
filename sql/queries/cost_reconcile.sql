-- Does the provider's invoice agree with what we computed?
-- Group: Cost.
-- Meaning: a row for each line of the invoice and for each model of its days and providers that it
-- does not name. difference_usd = computed less invoiced. Verdict: agrees (within 1% or a cent),
-- differs, unpriced (calls without a known price: difference explained by them at least in part),
-- only_invoiced (calls that never came here, or another name of the model), only_here.
-- n: calls_n of that day; computed_usd is over priced_n of them.
-- Parameters: invoice, its lines as day (UTC), provider and model as v_cost names them, USD; model
-- '' is all models of the provider: [('2026-11-01','openai','gpt-4o-2024-08-06',12.34)].
WITH
  lines AS
  (
    SELECT i.1 AS day, i.2 AS provider, i.3 AS model, sum(i.4) AS usd, 1 AS stands
    FROM
    (
      SELECT arrayJoin(CAST({invoice:String},
        'Array(Tuple(Date, String, String, Decimal(18, 9)))')) AS i
    )
    GROUP BY day, provider, model
  ),
  computed AS
  (
    SELECT day, toString(provider) AS provider, grain AS model, sum(calls) AS calls,
      sum(priced_calls) AS priced, sum(calls_with_usage) AS with_usage, sum(cost_usd) AS usd
    FROM v_cost
    ARRAY JOIN [toString(model), ''] AS grain
    WHERE (day, toString(provider), grain = '') IN (SELECT day, provider, model = '' FROM lines)
    GROUP BY day, provider, model
  )
SELECT
  if(l.stands = 1, l.day, c.day) AS day, if(l.stands = 1, l.provider, c.provider) AS provider,
  if(l.stands = 1, l.model, c.model) AS model,
  c.calls AS calls_n, c.priced AS priced_n,
  if(l.stands = 1, l.usd, NULL) AS invoice_usd, c.usd AS computed_usd,
  c.usd - l.usd AS difference_usd,
  round(toFloat64(difference_usd) / nullIf(toFloat64(l.usd), 0), 4) AS difference_of_invoice,
  multiIf(
    l.stands = 0, 'only_here', c.calls = 0, 'only_invoiced',
    abs(difference_usd) <= 0.01 OR abs(difference_of_invoice) <= 0.01, 'agrees',
    c.with_usage > c.priced, 'unpriced', 'differs') AS verdict
FROM lines AS l
FULL OUTER JOIN computed AS c
  ON l.day = c.day AND l.provider = c.provider AND l.model = c.model
ORDER BY day DESC, provider, model
SETTINGS join_use_nulls = 0

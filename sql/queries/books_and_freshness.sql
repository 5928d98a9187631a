-- Is everything that came in accounted for, and how fresh is it?
-- Group: Freshness and the books.
-- Meaning: balance and unbalanced must be 0; dead spans are in v_dead_letters with their reason.
-- n: raw messages, by stage, topic and tenant.
SELECT l.tenant AS tenant, l.stage AS stage, l.topic AS topic, l.n AS n, l.items_in AS items_in,
  l.items_out AS items_out, l.filtered AS filtered, l.dead AS dead, l.balance AS balance,
  l.unbalanced AS unbalanced, l.last_message_time AS last_message_time,
  f.seconds_since_insert AS seconds_since_insert
FROM v_ledger AS l
LEFT JOIN v_freshness AS f
  ON f.tenant = l.tenant AND f.source = concat('ledger of ', l.stage)
ORDER BY tenant, stage, topic

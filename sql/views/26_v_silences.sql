-- Silences, those that ended too.
-- * state: pending, active or expired
CREATE OR REPLACE VIEW v_silences AS
SELECT
  tenant, silence_id, multiIf(ends_at <= now64(9), 'expired', starts_at > now64(9), 'pending', 'active') AS state,
  matchers, starts_at, ends_at, author, why, created_at
FROM genai_silences FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

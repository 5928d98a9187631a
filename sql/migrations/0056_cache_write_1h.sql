-- Tokens written to a provider's cache for an hour, which cost more than those for five minutes.
-- cost_basis need not name them: where they change, cache_write_tokens, which has the others, does.
ALTER TABLE genai_operations
  ADD COLUMN IF NOT EXISTS cache_write_1h_tokens Nullable(UInt64) CODEC(ZSTD(1)) COMMENT 'Input tokens written to the provider\'s cache for an hour, not in cache_write_tokens; null = not reported';

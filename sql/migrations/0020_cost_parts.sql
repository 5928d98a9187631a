-- What else decides a price: audio tokens and the service tier; and what a price was computed from.
ALTER TABLE genai_operations
  ADD COLUMN IF NOT EXISTS input_audio_tokens Nullable(UInt64) CODEC(ZSTD(1)) COMMENT 'Audio input tokens, not in input_tokens; null = not reported',
  ADD COLUMN IF NOT EXISTS output_audio_tokens Nullable(UInt64) CODEC(ZSTD(1)) COMMENT 'Audio output tokens, not in output_tokens; null = not reported',
  ADD COLUMN IF NOT EXISTS service_tier LowCardinality(String) COMMENT 'Price class the provider served, lower case: batch, flex, priority, ...; empty = not said',
  ADD COLUMN IF NOT EXISTS cost_basis UInt64 DEFAULT cityHash64(provider, request_model, response_model, service_tier, start_time, coalesce(toString(input_tokens), ''), coalesce(toString(cache_read_tokens), ''), coalesce(toString(cache_write_tokens), ''), coalesce(toString(output_tokens), ''), coalesce(toString(reasoning_tokens), ''), coalesce(toString(input_audio_tokens), ''), coalesce(toString(output_audio_tokens), '')) CODEC(ZSTD(1)) COMMENT 'Hash of what the price is computed from: a cost of genai_costs counts only for the same basis';

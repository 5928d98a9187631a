-- What each instrumentation library of each service sends, and what it leaves out: shares of
-- n operations. hint names the setting that turns content on where none arrives.
-- * n: Operations stored: the shares are of these
-- * last_seen: End of the newest, ns, UTC
-- * content_captured: Share whose content arrived
-- * content_not_captured: Share that has none: the app does not capture it
-- * content_external: Share whose content lies elsewhere, with a reference
-- * content_dropped_by_policy: Share whose content a policy dropped
-- * with_usage: Share that reports tokens
-- * with_model: Share that names a model
-- * with_cost: Share whose cost is known
-- * with_conversation: Share that names a conversation
-- * truncated: Share with a text that was cut
-- * utf8_repaired: Share with bytes that were no UTF-8
-- * start_time_untrusted: Share whose start cannot be trusted
-- * hint: Setting that turns content on; empty where some arrives
CREATE OR REPLACE VIEW v_instrumentation_health AS
SELECT
  tenant, service_name, sdk_language, scope_name, scope_version, dialect,
  count() AS n, max(end_time) AS last_seen,
  countIf(content_state = 'captured') / n AS content_captured,
  countIf(content_state = 'not_captured') / n AS content_not_captured,
  countIf(content_state = 'external') / n AS content_external,
  countIf(content_state = 'dropped_by_policy') / n AS content_dropped_by_policy,
  countIf(input_tokens IS NOT NULL OR output_tokens IS NOT NULL) / n AS with_usage,
  countIf(request_model != '' OR response_model != '') / n AS with_model,
  countIf(cost_usd IS NOT NULL) / n AS with_cost,
  countIf(conversation_id != '') / n AS with_conversation,
  countIf(has(flags, 'truncated')) / n AS truncated,
  countIf(has(flags, 'utf8_repaired')) / n AS utf8_repaired,
  countIf(has(flags, 'start_time_untrusted')) / n AS start_time_untrusted,
  multiIf(
    content_captured > 0 OR content_external > 0 OR content_dropped_by_policy > 0, '',
    dialect = 'openinference', 'no content: unset OPENINFERENCE_HIDE_INPUTS and OPENINFERENCE_HIDE_OUTPUTS',
    dialect = 'openllmetry', 'no content: set TRACELOOP_TRACE_CONTENT=true',
    'no content: set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY (older libraries: true)'
  ) AS hint
FROM genai_operations FINAL
WHERE duplicate_of = ''
GROUP BY tenant, service_name, sdk_language, scope_name, scope_version, dialect
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Every span once, with exactly the columns of the OpenTelemetry Collector's ClickHouse exporter,
-- so that Grafana, HyperDX and existing dashboards work unchanged.
-- * ResourceAttributeItems: Resource attributes as key=value texts, for search
-- * SpanAttributeItems: Span attributes as key=value texts, for search
CREATE OR REPLACE VIEW otel_traces AS
SELECT
  Timestamp, TraceId, SpanId, ParentSpanId, TraceState, SpanName, SpanKind, ServiceName,
  ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage,
  `Events.Timestamp`, `Events.Name`, `Events.Attributes`,
  `Links.TraceId`, `Links.SpanId`, `Links.TraceState`, `Links.Attributes`,
  arrayMap((k, v) -> concat(k, '=', v), mapKeys(ResourceAttributes), mapValues(ResourceAttributes))
    AS ResourceAttributeItems,
  arrayMap((k, v) -> concat(k, '=', v), mapKeys(SpanAttributes), mapValues(SpanAttributes))
    AS SpanAttributeItems
FROM otel_spans FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- First and last span start of each trace, as the exporter's lookup table has them.
-- * Start: Start of the first span of the trace, UTC
-- * End: Start of the last span of the trace, UTC
CREATE OR REPLACE VIEW otel_traces_trace_id_ts AS
SELECT TraceId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End
FROM otel_spans FINAL
GROUP BY TraceId
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Erases everything that is stored of traces: every table that names one, and what was said of the
-- conversations. Run as a user who may delete, in the product's database. It may be repeated. Alerts
-- keep ids of example traces, windows keep counts: no texts and no ids of users are in either.
-- On a sharded cluster: DELETE FROM <table>_local ON CLUSTER <cluster>, and so on.
DELETE FROM otel_spans WHERE tenant = {tenant:String} AND TraceId IN {trace_ids:Array(String)};
DELETE FROM genai_content WHERE tenant = {tenant:String} AND trace_id IN {trace_ids:Array(String)};
DELETE FROM genai_operations WHERE tenant = {tenant:String} AND trace_id IN {trace_ids:Array(String)};
DELETE FROM genai_evaluations WHERE tenant = {tenant:String} AND trace_id IN {trace_ids:Array(String)};
DELETE FROM genai_embeddings WHERE tenant = {tenant:String} AND trace_id IN {trace_ids:Array(String)};
DELETE FROM genai_costs WHERE tenant = {tenant:String} AND trace_id IN {trace_ids:Array(String)};
DELETE FROM genai_dead_letters WHERE tenant = {tenant:String} AND trace_id IN {trace_ids:Array(String)};
DELETE FROM genai_feedback WHERE tenant = {tenant:String}
  AND (trace_id IN {trace_ids:Array(String)} OR conversation_id IN {conversation_ids:Array(String)});

-- Readers of one tenant, here `shop`: replace the name. Run after readers.sql, as an administrator.
-- Then: CREATE USER bob IDENTIFIED WITH sha256_password BY '...'; GRANT tenant_shop, streamgauge_analyst TO bob;
CREATE ROLE IF NOT EXISTS tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON otel_spans FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_operations FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_evaluations FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_model_deployments FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_dead_letters FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_ledger FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_alert_events FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_content FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
CREATE ROW POLICY IF NOT EXISTS tenant_shop ON genai_feedback FOR SELECT USING tenant = 'shop' AS RESTRICTIVE TO tenant_shop;
-- A table with a policy shows others nothing unless one lets them: this one restricts nobody.
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON otel_spans FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_operations FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_evaluations FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_model_deployments FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_dead_letters FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_ledger FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_alert_events FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_content FOR SELECT USING 1 TO ALL;
CREATE ROW POLICY IF NOT EXISTS streamgauge_all ON genai_feedback FOR SELECT USING 1 TO ALL;

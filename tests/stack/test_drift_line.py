"""A shift injected into real traffic, through the real broker and the stages, becomes a verdict."""

import json

from bench.drift_line import scenario
from schemas.config import Config
from sql.client import connect


async def test_errors_that_rise_in_real_traffic_page_within_three_windows(
    line_config: Config,
) -> None:
    client = connect(line_config.clickhouse)
    found = await scenario(line_config, client, share=0.5, seed=3)
    row = found["row"]
    assert (row["verdict"], row["severity"], row["service_name"]) == ("drift", "page", "shop")
    assert 0 < found["delay_minutes"] <= 15
    assert abs(found["since_error_minutes"]) <= 5
    assert row["effect_low"] > 3
    samples = json.loads(row["explanation"])["samples"]
    assert samples
    failed = client.query(
        "SELECT count() FROM genai_operations FINAL WHERE status = 'error' "
        "AND trace_id IN {ids:Array(String)}",
        parameters={"ids": [sample["trace_id"] for sample in samples]},
    ).result_rows
    assert failed == [(len(samples),)]
    client.close()

"""Prompts sent as OTLP become embeddings and windows of them, through real broker and stages."""

import asyncio
import time

import pytest

from processors.watch.windows.cycle import WindowWriter
from schemas.config import Config
from schemas.manifest import load_manifest, model_folder
from schemas.topics import OTLP_SPANS
from sql.client import connect
from tests.stack.line import chat, export, produce, settled, stages
from tests.watch.window_rows import told_idle

STAGES = ("operations", "assemble", "evaluate", "store")
HOUR_NS = 3600 * 10**9
PROMPTS = ("Where is my parcel?", "Cancel my order, please.", "Where is my parcel?")


async def test_prompts_sent_twice_are_embedded_once_and_counted(line_config: Config) -> None:
    evaluate = line_config.evaluate.model_copy(update={"embedding_share": 1.0, "device": "cpu"})
    config = line_config.model_copy(update={"evaluate": evaluate})
    spans = [chat(number, prompt) for number, prompt in enumerate(PROMPTS, 1)]
    for span in spans:
        span.start_time_unix_nano -= HOUR_NS  # of windows that are over
        span.end_time_unix_nano -= HOUR_NS
    sent = [export(span) for span in spans]
    async with stages(config, *STAGES):
        await produce(config, OTLP_SPANS.name, *sent, *sent)
        await settled(config, *STAGES)
    client = connect(config.clickhouse)
    rows = client.query(
        "SELECT trace_id, encoder, vector, service_name FROM genai_embeddings FINAL "
        "ORDER BY trace_id"
    ).result_rows
    assert len(rows) == len(PROMPTS)
    first, second, same = (row[2] for row in rows)
    assert first == same != second
    assert len(first) == 64
    manifest = load_manifest(model_folder(config.evaluate.models_dir, config.evaluate.model))
    versions = {manifest.encoder_version(name) for name in manifest.graphs}
    assert {row[1].rpartition("-")[0] for row in rows} <= versions
    told_idle(client, config.kafka.partitions, time.time())
    await asyncio.to_thread(WindowWriter(config).cycle)
    counted = client.query(
        "SELECT sum(n), sumForEach(vector_sums), any(s.model_version) "
        "FROM (SELECT * FROM genai_windows FINAL) AS w "
        "INNER JOIN (SELECT * FROM genai_streams FINAL) AS s USING (tenant, stream_id) "
        "WHERE s.family = 'prompts' AND s.dimensions = 'service'"
    ).result_rows
    client.close()
    ((n, sums, version),) = counted
    assert (n, version) == (len(PROMPTS), rows[0][1])
    assert sums == pytest.approx([sum(parts) for parts in zip(first, second, same, strict=True)])

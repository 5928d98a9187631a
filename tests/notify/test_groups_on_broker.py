"""Groups on a real broker: a worker that ends while one waits, and the worker after it."""

import asyncio
import json

from schemas.config import Config, NotifyConfig
from schemas.encoding import encode_batch
from schemas.records import encode_record
from schemas.topics import ALERT_TRANSITIONS
from tests.notify.receivers import WebhookServer
from tests.notify.test_grouping import of
from tests.notify.test_stage import receiver
from tests.stack.line import line_config, own_broker, produce, settled, stages

__all__ = ["line_config", "own_broker"]
WAIT_S = 6.0


async def test_what_waited_in_a_worker_that_ended_is_told_once_by_the_next(
    line_config: Config,
) -> None:
    async with WebhookServer() as server:
        one = receiver(
            server, group_by=["service_name"], group_wait_s=WAIT_S, group_interval_s=1, timeout_s=5
        )
        config = line_config.model_copy(update={"notify": NotifyConfig(receivers=[one])})
        async with stages(config, "notify"):
            for number in (1, 2, 3):
                value = encode_batch([encode_record(of(number))])
                topic = ALERT_TRANSITIONS.name
                await produce(config, topic, value, partition=number % 2)
            await asyncio.sleep(1)
        assert server.requests == []
        for _ in range(2):  # the second one finds everything committed
            async with stages(config, "notify"):
                await settled(config, "notify")
        ((_, body),) = server.requests
    marks = sorted(alert["fingerprint"] for alert in json.loads(body)["alerts"])
    assert marks == ["f1", "f2", "f3"]

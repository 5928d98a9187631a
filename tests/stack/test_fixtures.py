"""The session's fixtures answer."""

import clickhouse_connect
from aiokafka import AIOKafkaProducer

from schemas.config import Config


async def test_configuration_points_at_both(config: Config) -> None:
    client = clickhouse_connect.get_client(
        dsn=config.clickhouse.url,
        headers={"X-Streamgauge-Token": config.clickhouse.token.get_secret_value()},
    )
    assert client.query("SELECT 1").result_rows == [(1,)]
    client.close()
    producer = AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap_servers)
    await producer.start()
    await producer.stop()

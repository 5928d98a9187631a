"""What one gateway took and rejected since it started, from its metrics."""

from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ingest.signals import SIGNALS
from schemas.metrics import GATEWAY_ITEMS

ANSWER_S = 2.0
_TOPICS = {signal.name: signal.topic.name for signal in SIGNALS}


@dataclass(frozen=True, slots=True)
class GatewayItems:
    """Spans or log records of one tenant that came for one topic."""

    tenant: str
    topic: str
    accepted: int
    rejected: int


async def read_gateway(url: str) -> list[GatewayItems]:
    """By tenant and topic; nothing if no gateway answers there."""
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/metrics") as response,
        ):
            response.raise_for_status()
            families = list(text_string_to_metric_families(await response.text()))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return []
    (ours,) = GATEWAY_ITEMS.describe()
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for sample in (s for family in families if family.name == ours.name for s in family.samples):
        topic = _TOPICS.get(sample.labels.get("signal", ""))
        if topic is not None and sample.name.endswith("_total"):
            outcomes = counts.setdefault((sample.labels["tenant"], topic), {})
            outcomes[sample.labels["outcome"]] = round(sample.value)
    return [
        GatewayItems(*key, outcomes.get("accepted", 0), outcomes.get("rejected", 0))
        for key, outcomes in sorted(counts.items())
    ]

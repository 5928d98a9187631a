"""Three seeded delivery runs on Apache Kafka (``make delivery`` runs more)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.cluster import Cluster
from tests.kafka.delivery import run_once

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The product on a fresh broker."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_nothing_lost_nothing_twice(cluster: Cluster, tmp_path: Path, seed: int) -> None:
    """Whatever dies, every acknowledged span is stored once, and nothing else is."""
    report, facts = run_once(cluster, seed, tmp_path)
    print(facts)
    assert facts["calls"]
    assert (report.lost, report.duplicates, report.phantoms) == ([], [], [])

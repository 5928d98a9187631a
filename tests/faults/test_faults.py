"""A few seeds of the fault suite; ``make faults`` runs more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.run import SETTINGS
from tests.faults.trial import Trial, ready_again

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The product on three fresh brokers."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), SETTINGS)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_lost_nothing_twice(cluster: Cluster, tmp_path: Path, seed: int) -> None:
    """Whatever dies, every acknowledged span is stored once, and nothing else is."""
    ready_again(cluster)
    result = Trial(cluster, seed, tmp_path).run()
    print(result.facts)
    assert result.facts["calls"]
    assert result.problems == []

"""A seed of the faults of alerts; ``make faults NAME=alerts`` runs more."""

from pathlib import Path

import pytest

from tests.faults.alert_trial import AlertTrial


@pytest.mark.kafka
@pytest.mark.timeout(900)
def test_a_seed_of_faults_loses_nothing_and_tells_nothing_under_two_names(tmp_path: Path) -> None:
    result = AlertTrial(1, tmp_path).run()
    print(result.facts)
    assert result.facts["transitions"]
    assert result.problems == []

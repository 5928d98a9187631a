"""Timed rules with two workers of ``watch``: one evaluator a rule, and takeover by SIGKILL."""

import random
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sql.client import connect
from tests.faults.alert_line import AlertLine
from tests.faults.alert_story import RUN_S, TIMED_RULES, Story, write_rules
from tests.faults.alert_transitions import Expected, written
from tests.kafka.service import Service

SEED = 3
STORY_S = 48
SETTLE_S = 240.0
_LABELS = re.compile(r"streamgauge_rule_evaluations_total\{(.*)\} (\S+)")
TIMED = {f"Timed{number}" for number in range(TIMED_RULES)}


@pytest.fixture
def two_evaluators(tmp_path: Path) -> Iterator[AlertLine]:
    """Two workers of ``watch``, nothing else of the line."""
    line = AlertLine(tmp_path, tmp_path / "rules.yaml", workers=("watch-0", "watch-1"))
    write_rules(line.rules_file, SEED)
    try:
        line.start()
        yield line
    finally:
        line.stop()


def evaluations(worker: Service) -> dict[str, float]:
    """How often a worker has evaluated each timed rule."""
    url = worker.ready_url.replace("/ready", "/metrics")
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for labels, count in _LABELS.findall(text):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if "done" in named.values() and named["rule"] in TIMED:
            found[named["rule"]] = float(count)
    return found


def owners(line: AlertLine) -> dict[str, set[str]]:
    """By rule, the workers that went on evaluating it for a while."""
    before = {name: evaluations(one) for name, one in line.services.items()}
    time.sleep(4)
    found: dict[str, set[str]] = {rule: set() for rule in TIMED}
    for name, one in line.services.items():
        for rule, count in evaluations(one).items():
            if count > before[name].get(rule, 0):
                found[rule].add(name)
    return found


def until_shared(line: AlertLine) -> dict[str, str]:
    """The owner of each rule, once every rule has one and both workers have some."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        found = owners(line)
        assert all(len(names) < 2 for names in found.values()), "a rule has two evaluators"
        if all(found.values()) and len(set.union(*found.values())) == 2:
            return {rule: next(iter(names)) for rule, names in found.items()}
    raise TimeoutError(f"rules are not shared: {found}")


def settled(line: AlertLine, expected: Expected) -> list[str]:
    """What is wrong once everything due was told, or the time is up."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        found = written(line.config)
        if expected.keys() <= found.ids.keys() or time.monotonic() > deadline:
            return found.problems(expected)
        time.sleep(2)


@pytest.mark.timeout(900)
def test_the_other_worker_goes_on_where_a_killed_one_was(two_evaluators: AlertLine) -> None:
    line = two_evaluators
    begin_s = int(time.time()) // RUN_S * RUN_S + 2 * RUN_S
    story = Story(SEED, begin_s, begin_s + STORY_S)
    client = connect(line.config.clickhouse)
    story.tell(client)
    client.close()
    shared = until_shared(line)
    time.sleep(max(0.0, begin_s + random.Random(SEED).uniform(14, 24) - time.time()))
    victim = line.services[sorted(shared.values())[0]]
    killed_s = time.time()
    victim.kill()
    expected = {
        key: one for key, one in story.expected(line.rules_file).items() if one.rule in TIMED
    }
    assert settled(line, expected) == []
    orphaned = {rule for rule, name in shared.items() if name == victim.name}
    after = [
        one
        for one in expected.values()
        if one.rule in orphaned and one.status == "firing" and one.starts_at_ns / 1e9 > killed_s
    ]
    assert after, "the other worker had something to tell for the killed one"

"""Which faults a seed does, and when. The same seed always does the same.

Every seed: two workers of one stage, one of which dies at a named point; one outage of Kafka or
ClickHouse; one fault of a worker; one of the gateway; one inside a process or in the traffic. Each
list is gone through in an order of its own, so that no fault waits for chance.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.faults import catalogue as faults
from tests.faults.cluster import STAGE_NAMES, Cluster
from tests.kafka.service import Service

TRAFFIC_S = 16.0
OUTAGE_S = (9.0, 13.0)
FROZEN_S = (8.0, 11.0)
"""Longer than the session timeout of 6 s."""
DOWN_S = (0.2, 2.0)

OUTAGES = (
    "leader_killed",
    "leader_bounced",
    "replicas_lost",
    "kafka_cut",
    "kafka_slow",
    "clickhouse_killed",
    "clickhouse_killed_mid_insert",
    "clickhouse_slow",
    *(f"clickhouse_{why}" for why in faults.REFUSALS),
)
INSIDE = (
    "poison_flood",
    "resent_three_times",
    "clock_jump",
    *(f"model_{fault}" for fault in faults.MODEL_FAULTS),
    "redactor_fails",
)
WAYS = ("killed", "frozen", "terminated")
CLOCK_JUMPS_S = (-7200, -600, 600, 7200)
POINTS = tuple((stage, point) for stage, points in faults.POINTS.items() for point in points)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens ``at_s`` after the first span left; ``act`` ends with it."""

    at_s: float
    name: str
    act: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """A seed's faults. ``spare`` is the second worker of the stage under test."""

    faults: list[Fault]
    spare: Service
    point: str
    arrivals: int
    resent: bool
    redactor_fails: bool
    junk: list[bytes]


def turn(items: Sequence[Item], seed: int, salt: str) -> Item:
    """Each item once in as many seeds as there are items, in an order that changes."""
    shuffled = list(items)
    random.Random(f"{salt} {seed // len(items)}").shuffle(shuffled)
    return shuffled[seed % len(items)]


def plan(cluster: Cluster, seed: int) -> Plan:
    """The seed's faults on this cluster."""
    rng = random.Random(seed)
    stage, point = turn(POINTS, seed, "point")
    inside = turn(INSIDE, seed, "inside")
    poison = inside == "poison_flood" or point == "dead_lettered"
    happens = [
        _outage(cluster, turn(OUTAGES, seed, "outage"), rng),
        _process(cluster.workers[turn(STAGE_NAMES, seed, "stage")], turn(WAYS, seed, "way"), rng),
        _process(cluster.gateway, turn(WAYS, seed, "gateway"), rng),
    ]
    if (one := _inside(cluster, inside, rng)) is not None:
        happens.append(one)
    return Plan(
        faults=sorted(happens, key=lambda fault: fault.at_s),
        spare=cluster.worker(stage, 1),
        point=point,
        arrivals=rng.randint(1, 3),
        resent=inside == "resent_three_times",
        redactor_fails=inside == "redactor_fails",
        junk=[rng.randbytes(rng.randint(1, 400)) for _ in range(faults.FLOOD_MESSAGES)]
        if poison
        else [],
    )


def _outage(cluster: Cluster, name: str, rng: random.Random) -> Fault:
    for_s, number = rng.uniform(*OUTAGE_S), rng.randrange(cluster.config.kafka.partitions)
    acts: dict[str, Callable[[], object]] = {
        "leader_killed": lambda: faults.leader_killed(cluster, number, for_s - 5),
        "leader_bounced": lambda: faults.leader_bounced(cluster, number),
        "replicas_lost": lambda: faults.replicas_lost(cluster, number % 3 + 1, for_s - 3),
        "kafka_cut": lambda: faults.kafka_cut(cluster, for_s),
        "kafka_slow": lambda: faults.kafka_slow(cluster, 0.15, for_s),
        "clickhouse_killed": lambda: faults.killed(cluster.clickhouse, for_s),
        "clickhouse_killed_mid_insert": lambda: faults.clickhouse_killed_mid_insert(
            cluster, for_s - 3
        ),
        "clickhouse_slow": lambda: faults.clickhouse_slow(cluster, 1.0, for_s),
    }
    for why in faults.REFUSALS:
        acts[f"clickhouse_{why}"] = lambda why=why: faults.clickhouse_refuses(  # type: ignore[misc]
            cluster, why, for_s
        )
    return Fault(rng.uniform(2, 5), name, acts[name])


def _process(service: Service, way: str, rng: random.Random) -> Fault:
    down_s, frozen_s = rng.uniform(*DOWN_S), rng.uniform(*FROZEN_S)
    acts: dict[str, Callable[[], object]] = {
        "killed": lambda: faults.killed(service, down_s),
        "frozen": lambda: faults.frozen(service, frozen_s),
        "terminated": lambda: faults.terminated(service, down_s),
    }
    latest_s = 6 if way == "frozen" else TRAFFIC_S - 3
    return Fault(rng.uniform(2, latest_s), f"{service.name} {way}", acts[way])


def _inside(cluster: Cluster, name: str, rng: random.Random) -> Fault | None:
    """A fault inside a process; None for those that are in the traffic."""
    at_s, for_s = rng.uniform(1, 4), rng.uniform(5, 8)
    if name == "clock_jump":
        service = turn((*STAGE_NAMES, "gateway"), rng.randrange(1000), "clock")
        target = service if service == "gateway" else f"{service}-0"
        jump_s = rng.choice(CLOCK_JUMPS_S)
        return Fault(
            at_s,
            f"{target} clock {jump_s:+d} s",
            lambda: faults.switched(cluster, target, "clock_s", jump_s, for_s),
        )
    if name == "redactor_fails":
        stage = rng.choice(("operations-0", "traces-0"))
        return Fault(
            at_s,
            f"{stage} {name}",
            lambda: faults.switched(cluster, stage, "redactor", True, for_s),
        )
    if name.startswith("model_"):
        fault = name.removeprefix("model_")
        return Fault(
            at_s, name, lambda: faults.switched(cluster, "evaluate-0", "model", fault, for_s)
        )
    return None

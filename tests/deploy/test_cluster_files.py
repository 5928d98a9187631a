"""The cluster's server files agree with the rewritten statements and with ClickHouse's names."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from clickhouse_connect.driver.client import Client

from schemas.config import ClickHouseConfig
from sql.cluster import Cluster
from sql.migrate import plan

CLUSTER = Path(__file__).resolve().parents[2] / "deploy" / "clickhouse" / "cluster"
SERVER = ET.parse(CLUSTER / "config.d" / "streamgauge.xml").getroot()  # noqa: S314 - our own file
USERS = ET.parse(CLUSTER / "users.d" / "streamgauge.xml").getroot()  # noqa: S314


def test_statements_use_the_cluster_and_macros_that_the_servers_have() -> None:
    clusters = SERVER.find("remote_servers")
    macros = SERVER.find("macros")
    assert clusters is not None
    assert macros is not None
    (name,) = (cluster.tag for cluster in clusters)
    for sharded in (False, True):
        steps = plan(ClickHouseConfig(cluster=Cluster(name).name, sharded=sharded))
        used = set(re.findall(r"\{(\w+)\}", " ".join(s for s in steps if "Replicated" in s)))
        assert {"shard", "replica"} <= used
        assert used - {"database"} <= {macro.tag for macro in macros}


def test_every_replica_keeps_and_replicates() -> None:
    shards = SERVER.findall("./remote_servers/streamgauge/shard")
    assert [shard.findtext("internal_replication") for shard in shards] == ["true"]
    replicas = {host.text for host in SERVER.findall("./remote_servers/*/shard/replica/host")}
    keepers = {host.text for host in SERVER.findall("./zookeeper/node/host")}
    raft = {host.text for host in SERVER.findall("./keeper_server/raft_configuration/*/hostname")}
    assert replicas == keepers == raft
    assert len(replicas) == 3
    ports = {port.text for port in SERVER.findall("./zookeeper/node/port")}
    assert ports == {SERVER.findtext("./keeper_server/tcp_port_secure")}
    secure = {port.text for port in SERVER.findall("./remote_servers/*/shard/replica/port")}
    assert secure == {SERVER.findtext("./tcp_port_secure")}


def test_settings_are_clickhouses_own(reader: Client) -> None:
    known = {name for (name,) in reader.query("SELECT name FROM system.settings").result_rows}
    grafana = ET.parse(CLUSTER.parent / "users.d" / "grafana.xml").getroot()  # noqa: S314
    for users in (USERS, grafana):
        for profile in users.findall("./profiles/*"):
            names = {setting.tag for setting in profile} - {"constraints"}
            assert names
            assert names <= known

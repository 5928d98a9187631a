"""The delivery proof reaches a gateway with keys and TLS, and says when it did not."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stack.broker import Broker
from stack.verify.alerts import AlertReport
from stack.verify.command import Verdict
from stack.verify.generator import Route, plan
from stack.verify.journal import JournalWriter, read_journal
from stack.verify.oracle import Report
from stack.verify.sender import Sender
from stack.verify.windows import WindowReport
from tests.ingest.conftest import StartGateway, gateway_config

TLS = Path(__file__).resolve().parents[1] / "deploy" / "tls"
KEY = "a-sender's-key"


@pytest.mark.parametrize("route", ["http", "grpc"])
async def test_a_key_and_an_authority_reach_the_gateway(
    route: Route, start_gateway: StartGateway, gateway_broker: Broker, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.yaml"
    sha256 = hashlib.sha256(KEY.encode()).hexdigest()
    keys.write_text(yaml.safe_dump([{"tenant": "acme", "sha256": sha256}]))
    config = gateway_config(
        gateway_broker.bootstrap,
        tmp_path,
        api_keys_file=keys,
        ssl_certfile=TLS / "server.pem",
        ssl_keyfile=TLS / "server.key",
    )
    gateway = await start_gateway(config)
    await gateway.wait_ready()
    parcels = [replace(parcel, route=route, due_s=0.0) for parcel in plan("proof", 3, 1e3, 1)]
    for key, everything in ((KEY, True), ("", False)):
        path = tmp_path / f"journal-{everything}"
        with JournalWriter(path) as journal:
            sender = Sender(
                journal, f"https://127.0.0.1:{gateway.port}", None, 20 if everything else 1,
                grpc_target=f"127.0.0.1:{gateway.grpc_port}", api_key=key,
                ca_file=TLS / "ca.pem",
            )  # fmt: skip
            await sender.send(parcels)
        found = read_journal(path)
        assert found.acked == (frozenset(found.sent) if everything else frozenset())
        assert KEY not in repr(sender)


def test_a_route_without_success_fails_the_proof() -> None:
    verdict = Verdict(Report(), AlertReport(), WindowReport())
    assert verdict.clean
    unproved = replace(verdict, unproved=["grpc"])
    assert not unproved.clean
    assert unproved.items() == [("nothing acknowledged by", "grpc")]

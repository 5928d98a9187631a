"""Secrets show nowhere: logs, the configuration as printed, errors, process lists, metrics.

Real processes with a secret of every kind, against a broker and a ClickHouse that are away or
refuse them, so that errors are written.
"""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from stack.clickhouse.process import ClickHouse
from stack.ports import free_port
from tests.kafka.service import ROOT, Service

SECRETS = {
    name: f"Geheim-{name}-{number:04d}"
    for number, name in enumerate(
        ("kafka", "clickhouse", "token", "redaction-key", "api-key", "telemetry", "webhook"), 4711
    )
}


REFUSALS = 12


@pytest.fixture
def environment(tmp_path: Path, clickhouse: ClickHouse) -> dict[str, str]:
    """Every secret, some in files; the broker is away, ClickHouse refuses the token."""
    files = {}
    for name in ("kafka", "telemetry"):
        files[name] = tmp_path / name
        files[name].write_text(f"key={SECRETS[name]}" if name == "telemetry" else SECRETS[name])
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"- {{sha256: {sha256(SECRETS['api-key'].encode()).hexdigest()}, tenant: t}}\n")
    config = tmp_path / "streamgauge.yaml"
    url_file = tmp_path / "webhook"
    url_file.write_text(f"http://127.0.0.1:9/{SECRETS['webhook']}")
    config.write_text(f"""
kafka:
  bootstrap_servers: 127.0.0.1:{free_port()}
  security_protocol: SASL_PLAINTEXT
  sasl_username: streamgauge
  sasl_password_file: {files["kafka"]}
clickhouse: {{url: "{clickhouse.url}", username: streamgauge}}
gateway: {{http_port: {free_port()}, grpc_port: {free_port()}, api_keys_file: {keys}}}
telemetry: {{otlp_endpoint: "http://127.0.0.1:9", headers_file: {files["telemetry"]}}}
notify: {{receivers: [{{name: hook, type: slack, url_file: {url_file}}}]}}
""")
    return {
        **os.environ,
        "STREAMGAUGE_CONFIG": str(config),
        "STREAMGAUGE_CLICKHOUSE__PASSWORD": SECRETS["clickhouse"],
        "STREAMGAUGE_CLICKHOUSE__TOKEN": SECRETS["token"],
        "STREAMGAUGE_PRIVACY__REDACTION_KEY": SECRETS["redaction-key"],
        "COLUMNS": "400",
    }


def told(text: str) -> set[str]:
    """Names of the secrets in a text."""
    return {name for name, value in SECRETS.items() if value in text}


def run(environment: Mapping[str, str], *arguments: str) -> str:
    """What a command prints, errors too."""
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", *arguments],
        env=dict(environment), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.stdout + done.stderr


@contextlib.contextmanager
def running(
    environment: Mapping[str, str], folder: Path, name: str, *command: str, port: int
) -> Iterator[Service]:
    """A process of the product, until the block ends."""
    service = Service(
        name,
        [sys.executable, "-m", "stack.cli", *command],
        dict(environment),
        folder / f"{name}.log",
        f"http://127.0.0.1:{port}/ready",
    )
    service.start()
    try:
        yield service
    finally:
        service.kill()


def test_the_configuration_is_printed_without_them(environment: dict[str, str]) -> None:
    printed = run(environment, "config")
    assert "sasl_username" in printed
    assert told(printed) == set()


@pytest.mark.parametrize(
    "arguments",
    [("migrate",), ("ledger",), ("status", "--once"), ("verify", "--traces", "0"),
     ("sql", "SELECT nothing"), ("replay", "--dry-run")],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_errors_of_commands_do_not_tell_them(
    environment: dict[str, str], arguments: tuple[str, ...]
) -> None:
    printed = run(environment, *arguments)
    assert printed
    assert told(printed) == set()


def test_a_wrong_setting_is_named_without_its_value(environment: dict[str, str]) -> None:
    wrong = environment | {
        "STREAMGAUGE_CLICKHOUSE__PASSWORD": SECRETS["clickhouse"],
        "STREAMGAUGE_KAFKA": '{"sasl_password": ["' + SECRETS["kafka"] + '"]}',
    }
    printed = run(wrong, "config")
    assert "sasl_password" in printed
    assert told(printed) == set()


def test_processes_show_them_neither_in_their_logs_nor_in_process_lists(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    environment["STREAMGAUGE_RUNTIME__METRICS_BASE_PORT"] = str(port)
    probes = {"gateway": port, "traces": free_port(), "notify": free_port()}
    with contextlib.ExitStack() as stack:
        services = []
        for name, at in probes.items():
            worker = ("worker", "--stages", name, "--port", str(at))
            command = ("gateway",) if name == "gateway" else worker
            started = running(environment, tmp_path, name, *command, port=at)
            services.append(stack.enter_context(started))
        _let_it_fail(probes["gateway"], environment)
        for service in services:
            assert service.process is not None
            if service.alive():
                shown = psutil.Process(service.process.pid).cmdline()
                assert told(" ".join(shown)) == set(), service.name
        logs = {service.name: service.log.read_text() for service in services}
    for name, text in logs.items():
        assert text, f"{name} wrote nothing"
        assert told(text) == set(), name


def _let_it_fail(metrics_port: int, environment: Mapping[str, str]) -> None:
    """Exports with the key, until the gateway has refused a few: the workers fail meanwhile."""
    deadline = time.monotonic() + 90
    config = Path(environment["STREAMGAUGE_CONFIG"]).read_text()
    http_port = config.partition("http_port: ")[2].partition(",")[0]
    answers: list[int] = []
    while len(answers) < REFUSALS and time.monotonic() < deadline:
        request = urllib.request.Request(
            f"http://127.0.0.1:{http_port}/v1/traces",
            data=b"",
            headers={
                "Content-Type": "application/x-protobuf",
                "Authorization": f"Bearer {SECRETS['api-key']}",
            },
        )
        said = b""
        try:
            urllib.request.urlopen(request, timeout=2).close()
        except urllib.error.HTTPError as error:
            answers.append(error.code)
            said = error.read()
        except OSError:
            pass
        assert told(said.decode("utf-8", "replace")) == set()
        time.sleep(0.5)
    assert answers == [503] * REFUSALS
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=5) as answer:
        assert told(answer.read().decode()) == set()

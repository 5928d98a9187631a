"""``streamgauge worker --stages a,b``: stages together, one supervised process each."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from processors.app import STAGES
from processors.runtime.admin import create_topics
from schemas.config import Config
from stack.embedded import metrics_port
from stack.ports import free_block, is_free

TOGETHER = ("watch", "notify")


def answers(port: int) -> bool:
    """Whether a worker says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.timeout(120)
def test_two_stages_together_come_up_and_leave_nothing(config: Config) -> None:
    asyncio.run(create_topics(config))
    config.runtime.metrics_base_port = free_block(1 + len(STAGES))
    ports = [metrics_port(config, name) for name in TOGETHER]
    kafka = config.kafka
    environment = {
        **os.environ,
        "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STREAMGAUGE_KAFKA__SESSION_TIMEOUT_S": str(kafka.session_timeout_s),
        "STREAMGAUGE_KAFKA__IDEMPOTENT_PRODUCER": "false",
        "STREAMGAUGE_KAFKA__PARTITIONS": str(kafka.partitions),
        "STREAMGAUGE_RUNTIME__METRICS_BASE_PORT": str(config.runtime.metrics_base_port),
        "STREAMGAUGE_RUNTIME__DATA_DIR": str(config.runtime.data_dir),
    }
    command = [sys.executable, "-m", "stack.cli", "worker", "--stages", ",".join(TOGETHER)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as parent:
        try:
            while not all(answers(port) for port in ports):
                assert parent.poll() is None
                time.sleep(0.3)
            parent.send_signal(signal.SIGINT)
            assert parent.wait(40) == 0
        finally:
            parent.kill()
    assert all(is_free("127.0.0.1", port) for port in ports)

"""What an insert was answered for is there after kill -9 and a restart on the same folder."""

import threading
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from stack.clickhouse.process import ClickHouse, ClickHouseStartError
from stack.clickhouse.server import TOKEN_HEADER
from stack.ports import free_port


def connect(server: ClickHouse) -> Client:
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, headers={TOKEN_HEADER: server.token}
    )


def test_kill_during_inserts_keeps_every_answered_row(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path, free_port(), "token")
    server.start()
    connect(server).command(
        "CREATE TABLE t (id UInt64, text String) ENGINE = ReplacingMergeTree ORDER BY id"
    )
    answered: list[int] = []

    def insert() -> None:
        client = connect(server)
        try:
            for n in range(100_000):
                client.insert("t", [[n, "x" * 100]], column_names=["id", "text"])
                answered.append(n)
        except ClickHouseError:
            pass  # killed

    thread = threading.Thread(target=insert)
    thread.start()
    while len(answered) < 20:
        assert thread.is_alive()
        thread.join(0.02)
    server.kill()
    thread.join(30.0)
    assert not thread.is_alive()
    try:
        server.start()
        stored = {row[0] for row in connect(server).query("SELECT id FROM t FINAL").result_rows}
        assert set(answered) <= stored
        assert len(stored - set(answered)) <= 1  # the one in flight
    finally:
        server.stop()


def test_a_second_one_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path, free_port(), "token")
    server.start()
    second = ClickHouse(tmp_path, free_port(), "token")
    try:
        with pytest.raises(ClickHouseStartError, match=r"clickhouse\.log"):
            second.start()
    finally:
        second.stop()
        server.stop()

"""TLS to ClickHouse over a real handshake, and what Kafka's clients are given."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from pydantic import SecretStr, ValidationError

from ingest.kafka import kafka_options
from schemas.config import ClickHouseConfig, KafkaConfig
from schemas.secrets import SecretFileError
from sql.client import connect
from stack.clickhouse.process import ClickHouse

TLS = Path(__file__).parent / "tls"


class TlsFront:
    """Ends TLS before a plain server, as a load balancer does; ``port`` is where it listens."""

    def __init__(self, target: str) -> None:
        self._host, self._port = target.split(":")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def start(self) -> None:
        """Listen on a free port."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.port = server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Stop listening; what is under way ends with the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self._host, int(self._port))
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture(scope="module")
def secure_url(clickhouse: ClickHouse) -> Iterator[str]:
    """ClickHouse over https."""
    front = TlsFront(urlsplit(clickhouse.url).netloc)
    front.start()
    yield f"https://127.0.0.1:{front.port}"
    front.stop()


def test_clickhouse_over_tls_with_our_authority(secure_url: str, clickhouse: ClickHouse) -> None:
    config = ClickHouseConfig(
        url=secure_url, ca_file=TLS / "ca.pem", token=SecretStr(str(clickhouse.token))
    )
    client = connect(config)
    assert client.command("SELECT 40 + 2") == 42
    client.close()


@pytest.mark.parametrize("ca_file", [TLS / "other-ca.pem", None], ids=["other", "public ones"])
def test_clickhouse_with_a_certificate_of_someone_else_is_refused(
    secure_url: str, ca_file: Path | None
) -> None:
    with pytest.raises(ClickHouseError, match="certificate verify failed"):
        connect(ClickHouseConfig(url=secure_url, ca_file=ca_file))


def test_password_files_are_read_at_each_connection(tmp_path: Path) -> None:
    path = tmp_path / "password"
    config = KafkaConfig(
        security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password_file=path
    )
    path.write_text("first\n")
    assert kafka_options(config)["sasl_plain_password"] == "first"
    path.write_text("second")
    assert kafka_options(config)["sasl_plain_password"] == "second"


def test_mutual_tls_loads_the_pair() -> None:
    context = kafka_options(
        KafkaConfig(
            security_protocol="SSL",
            ssl_cafile=TLS / "ca.pem",
            ssl_certfile=TLS / "client.pem",
            ssl_keyfile=TLS / "client.key",
        )
    )["ssl_context"]
    subjects = [dict(pair for (pair,) in ca["subject"]) for ca in context.get_ca_certs()]
    assert subjects == [{"commonName": "Streamgauge test CA"}]  # and no public authority
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ssl_cafile": TLS / "none.pem"}, r"kafka\.ssl_cafile: cannot read .*none\.pem: No such"),
        ({"ssl_cafile": TLS / "make.sh"}, r"kafka\.ssl_cafile, .*"),
        (
            {"ssl_certfile": TLS / "client.pem", "ssl_keyfile": TLS / "server.key"},
            r"KEY_VALUES_MISMATCH",
        ),
        (
            {"ssl_certfile": TLS / "client.pem", "ssl_keyfile": TLS / "client-encrypted.key"},
            r"kafka\.ssl_keyfile: ",
        ),
    ],
)
def test_unusable_certificates_are_named(fields: dict[str, Path], message: str) -> None:
    config = KafkaConfig.model_validate({"security_protocol": "SSL", **fields})
    with pytest.raises(SecretFileError, match=message):
        kafka_options(config)


def test_unusable_secret_files_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for path, why in ((tmp_path / "none", "No such file"), (empty, "is empty")):
        sasl = KafkaConfig(security_protocol="SASL_SSL", sasl_username="u", sasl_password_file=path)
        with pytest.raises(SecretFileError, match=rf"kafka\.sasl_password_file: .*{why}"):
            kafka_options(sasl)
        with pytest.raises(SecretFileError, match=rf"clickhouse\.password_file: .*{why}"):
            connect(ClickHouseConfig(password_file=path))
    with pytest.raises(SecretFileError, match=r"clickhouse\.ca_file: cannot read"):
        connect(ClickHouseConfig(url="https://127.0.0.1:1", ca_file=tmp_path / "none"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"security_protocol": "SASL_SSL"}, "SASL_SSL needs sasl_username"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u"},
            "needs sasl_password or sasl_password_file",
        ),
        ({"sasl_username": "u"}, "sasl_username is of no use with security_protocol PLAINTEXT"),
        (
            {"security_protocol": "SSL", "sasl_password_file": "a"},
            "sasl_password_file is of no use with security_protocol SSL",
        ),
        ({"ssl_keyfile": "a"}, "no use without ssl_certfile"),
        ({"security_protocol": "TLS"}, "SASL_SSL"),
        ({"sasl_mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
    ],
)
def test_half_a_configuration_is_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        KafkaConfig.model_validate(fields)

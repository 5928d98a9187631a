"""Connections to ClickHouse over HTTP by ``clickhouse-connect``, made alike everywhere."""

import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver import options
from clickhouse_connect.driver.client import Client

from schemas.config import ClickHouseConfig
from schemas.secrets import readable, secret_text

TOKEN_HEADER = "X-Streamgauge-Token"  # noqa: S105 - a header's name
logging.getLogger("clickhouse_connect.driver.transform").setLevel(logging.CRITICAL)
# It logs values that a column cannot hold, with a traceback: content must not reach logs. The
# error itself is raised to the caller.

options.pd = options.pd_time_test = None
# Else the first insert imports pandas where it happens to be installed: seconds, and 70 MiB.

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 120
"""An insert waits behind merges and scans, but a half-open connection must not hang a stage."""


def connect(config: ClickHouseConfig, answer_timeout_s: int = ANSWER_TIMEOUT_S) -> Client:
    """A new client with no session, so that queries of several clients run side by side.

    Asks the server for its version and time zone; raises clickhouse-connect's errors when it is
    away and :class:`schemas.secrets.SecretFileError` for a password or CA file that cannot be
    read. A client serves one thread at a time.
    """
    url = urlsplit(config.url)
    secure = url.scheme == "https"
    token = config.token.get_secret_value()
    return clickhouse_connect.get_client(
        host=url.hostname or "127.0.0.1",
        port=url.port or (8443 if secure else 8123),
        secure=secure,
        username=config.username,
        password=secret_text(config.password, config.password_file, "clickhouse.password_file"),
        database=config.database,
        ca_cert=readable(config.ca_file, "clickhouse.ca_file"),
        headers={TOKEN_HEADER: token} if token else None,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=answer_timeout_s,
        autogenerate_session_id=False,
        client_name="streamgauge",
        dedicated_pool=True,
    )


def allowed(client: Client, settings: Mapping[str, object]) -> dict[str, object]:
    """Those of the settings that this server lets the client choose.

    The embedded engine, asked without the product's token, is read-only and lets none be chosen.
    """
    known = client.server_settings
    free = [name for name in settings if name not in known or not known[name].readonly]
    return {name: settings[name] for name in free}

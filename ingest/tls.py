"""TLS at the gateway: one certificate for HTTP and gRPC, read at the start.

With ``ssl_client_cafile`` it is mutual: whoever shows no certificate of these authorities is turned
away in the handshake. Who the sender is still comes from its API key.
"""

import ssl
from pathlib import Path

import grpc

from schemas.config import GatewayConfig
from schemas.secrets import SecretFileError, readable


def http_context(config: GatewayConfig) -> ssl.SSLContext | None:
    """For the HTTP port; None without a certificate. Raises ``SecretFileError``."""
    pair = _pair(config)
    if pair is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty password: OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(*pair, password="")
    except ssl.SSLError as error:
        reason = error.reason or "not PEM, or the key is encrypted or of another certificate"
        raise SecretFileError(f"gateway.ssl_certfile or gateway.ssl_keyfile: {reason}") from None
    authorities = _authorities(config)
    if authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=authorities)
        except ssl.SSLError as error:
            reason = error.reason or "not PEM"
            raise SecretFileError(f"gateway.ssl_client_cafile: {reason}") from None
    return context


def grpc_credentials(config: GatewayConfig) -> grpc.ServerCredentials | None:
    """For the gRPC port; None without a certificate. Raises ``SecretFileError``.

    An unusable pair is noticed when the port is bound; :func:`http_context` says what is wrong.
    """
    pair = _pair(config)
    if pair is None:
        return None
    certificate, key = (Path(path).read_bytes() for path in pair)
    authorities = _authorities(config)
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=None if authorities is None else authorities.encode(),
        require_client_auth=authorities is not None,
    )


def _authorities(config: GatewayConfig) -> str | None:
    """Those that a sender's certificate must be of, as PEM; None if none is asked for."""
    path = readable(config.ssl_client_cafile, "gateway.ssl_client_cafile")
    return None if path is None else Path(path).read_text("ascii", "replace")


def _pair(config: GatewayConfig) -> tuple[str, str] | None:
    certificate = readable(config.ssl_certfile, "gateway.ssl_certfile")
    key = readable(config.ssl_keyfile, "gateway.ssl_keyfile")
    return None if certificate is None or key is None else (certificate, key)

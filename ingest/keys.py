"""Which tenant is calling: API keys, held as SHA-256 only.

The keys file is a YAML list of ``{sha256, tenant}``; ``disabled: true`` revokes a key. It is read
again when it changes; a file that turns unreadable keeps the keys last read and is logged. Without
a keys file only loopback peers are served, as the configured tenant.
"""

import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 1.0
_BEARER = "bearer "


class ApiKey(BaseModel):
    """One entry of the keys file."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = Field(pattern="^[0-9a-fA-F]{64}$")
    tenant: str = Field(min_length=1)
    disabled: bool = False


class UnknownKeyError(Exception):
    """No key was sent, or none that we know (401)."""


class ForbiddenError(Exception):
    """The caller is known, and not allowed (403)."""


class KeysFileError(ValueError):
    """The keys file cannot be read; the text names the file and the fault, never a value."""


class KeyRing:
    """Tenants by API key; safe to ask on every request (the file is looked at once a second)."""

    def __init__(self, path: Path | None, loopback_tenant: str) -> None:
        """Raises :class:`KeysFileError` if there is a file and it cannot be used."""
        self._path = path
        self._loopback_tenant = loopback_tenant
        self._keys: list[ApiKey] = []
        self._seen: tuple[int, int] | None = None
        self._checked_s = time.monotonic()
        if path is not None:
            self._seen = _version(path)
            self._keys = _read(path)

    def tenant(self, headers: Mapping[str, str], peer: str | None) -> str:
        """The caller's tenant. Raises :class:`UnknownKeyError` or :class:`ForbiddenError`."""
        if self._path is None:
            if not _is_loopback(peer):
                raise ForbiddenError("without an API keys file only loopback is served")
            return self._loopback_tenant
        self._reload_if_changed(self._path)
        digest = hashlib.sha256(_presented_key(headers).encode("utf-8", "replace")).hexdigest()
        found: ApiKey | None = None
        for key in self._keys:  # every entry is compared: the time tells nothing about a match
            if hmac.compare_digest(key.sha256.lower(), digest):
                found = key
        if found is None:
            raise UnknownKeyError("unknown API key")
        if found.disabled:
            raise ForbiddenError("this API key is disabled")
        return found.tenant

    def _reload_if_changed(self, path: Path) -> None:
        now_s = time.monotonic()
        if now_s - self._checked_s < _CHECK_INTERVAL_S:
            return
        self._checked_s = now_s
        try:
            version = _version(path)
            if version == self._seen:
                return
            self._seen = version
            self._keys = _read(path)
        except KeysFileError as error:
            log.error("keys file not reloaded, the last keys stay: %s", error)
        else:
            log.info("keys file reloaded: %d keys", len(self._keys))


def _presented_key(headers: Mapping[str, str]) -> str:
    authorization = headers.get("Authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    key = headers.get("x-api-key", "").strip()
    if not key:
        raise UnknownKeyError("no API key: send Authorization: Bearer <key> or x-api-key")
    return key


def _is_loopback(peer: str | None) -> bool:
    if peer is None:
        return False
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _version(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise KeysFileError(f"{path}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size


def _read(path: Path) -> list[ApiKey]:
    try:
        return TypeAdapter(list[ApiKey]).validate_python(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise KeysFileError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError:
        raise KeysFileError(f"{path}: not YAML") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(item) for item in first["loc"])
        raise KeysFileError(f"{path}: {place or 'list'}: {first['type']}") from None

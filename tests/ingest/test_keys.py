"""Who may call: loopback without keys, known keys with."""

from pathlib import Path

import pytest

from ingest.keys import ForbiddenError, KeyRing, KeysFileError, UnknownKeyError


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_without_keys_loopback_is_the_configured_tenant(peer: str) -> None:
    assert KeyRing(None, "home").tenant({"x-api-key": "any"}, peer) == "home"


@pytest.mark.parametrize(
    "peer", [None, "", "10.0.0.1", "192.0.2.7", "::ffff:10.0.0.1", "fe80::1%eth0", "2001:db8::1"]
)
def test_without_keys_others_are_forbidden(peer: str | None) -> None:
    with pytest.raises(ForbiddenError):
        KeyRing(None, "home").tenant({}, peer)


def test_with_keys_loopback_needs_one_too(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text("[]")
    ring = KeyRing(path, "home")
    for headers in ({}, {"x-api-key": ""}, {"x-api-key": "k\udcff"}, {"Authorization": "Basic x"}):
        with pytest.raises(UnknownKeyError):
            ring.tenant(headers, "127.0.0.1")


@pytest.mark.parametrize(
    "text",
    ["key: value", "- {sha256: topsecret, tenant: a}", "- {tenant: a}", "[", "- {sha256: [}", ""],
)
def test_a_wrong_keys_file_is_refused_by_name_without_its_values(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(KeysFileError) as caught:
        KeyRing(path, "home")
    assert str(path) in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_an_absent_keys_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeysFileError, match=r"none\.yaml"):
        KeyRing(tmp_path / "none.yaml", "home")

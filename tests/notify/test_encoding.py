"""Bytes on the wire: Alertmanager's body by a golden file, signatures by the published vector."""

import base64
import json
from pathlib import Path

import pytest

from processors.notify.encoding import rfc3339, webhook_body
from processors.notify.notification import alone
from processors.notify.posting import LONGEST_RETRY_AFTER_S, retry_after_s
from processors.notify.signature import SecretError, load_keys, signature_headers
from schemas.alert_records import AlertTransition

GOLDEN = Path(__file__).parent / "golden"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def transition(
    number: int = 1, status: str = "firing", fingerprint: str = "f1", **changes: object
) -> AlertTransition:
    return AlertTransition.model_validate(
        {
            "tenant": "acme",
            "transition_id": f"transition-{number}",
            "fingerprint": fingerprint,
            "rule": "PromptInjection",
            "rule_version": "v1",
            "status": status,
            "labels": {"alertname": "PromptInjection", "severity": "page", "service_name": "shöp"},
            "annotations": {"summary": "Prompt injection against shöp"},
            "starts_at_ns": 1_767_225_600_000_000_000,
            "ends_at_ns": 1_767_225_900_250_000_000 if status == "resolved" else None,
            "value": 0.97,
            "count": 3,
            "trace_ids": ["0af7651916cd43dd8448eb211c80319c"],
            **changes,
        }
    )


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_body_is_alertmanagers_version_4(status: str) -> None:
    expected = json.loads((GOLDEN / f"alertmanager_v4_{status}.json").read_text())
    assert json.loads(webhook_body(alone(transition(status=status)), "pager")) == expected


def test_times_are_rfc3339() -> None:
    assert rfc3339(1_767_225_600_000_000_000) == "2026-01-01T00:00:00Z"
    assert rfc3339(1_767_225_600_000_000_001) == "2026-01-01T00:00:00.000000001Z"


def test_signature_is_the_published_vector(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET + "\n")
    headers = signature_headers(
        load_keys(path), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_both_keys_sign_while_one_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"whsec_{base64.b64encode(bytes(24)).decode()}\n{SECRET}\n")
    headers = signature_headers(load_keys(path), "m", 1, b"")
    first, second = headers["webhook-signature"].split(" ")
    assert first != second
    assert "webhook-signature" not in signature_headers((), "m", 1, b"")


@pytest.mark.parametrize("text", ["", "plain", "whsec_!!", "whsec_c2hvcnQ="])
def test_bad_key_files_are_named_and_never_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(SecretError, match="key") as caught:
        load_keys(path)
    assert not text or text.removeprefix("whsec_") not in str(caught.value)
    with pytest.raises(SecretError, match="absent"):
        load_keys(tmp_path / "absent")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", 0.0),
        ("7", 7.0),
        ("99999999999999999999", LONGEST_RETRY_AFTER_S),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2015 00:00:30 GMT", 0.0),
        ("soon", 0.0),
        ("-3", 0.0),
    ],
)
def test_retry_after(value: str, expected: float) -> None:
    assert retry_after_s({"Retry-After": value}, 1_767_225_600) == expected

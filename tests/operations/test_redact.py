"""What the redactor masks, what it leaves alone, and how it fails."""

import pytest

from processors.operations.redact import WITHHELD, RedactionKeyError, Redactor, load_key
from schemas.config import Config

KEY = b"0123456789abcdef0123456789abcdef"
REDACTOR = Redactor(KEY)

PERSONAL = [
    (
        "EMAIL",
        "write to jane.doe+tag@mail.example.co.uk, please",
        "jane.doe+tag@mail.example.co.uk",
    ),
    ("EMAIL", "(müller@beispiel.de)", "müller@beispiel.de"),
    ("EMAIL", "<a@b.io>.", "a@b.io"),
    ("PHONE", "call +49 30 901820 today", "+49 30 901820"),
    ("PHONE", "+14155552671", "+14155552671"),
    ("PHONE", "or (415) 555-2671 after six", "(415) 555-2671"),
    ("PHONE", "tel: 415-555-2671.", "415-555-2671"),
    ("PHONE", "1 415 555 2671", "1 415 555 2671"),
    ("PHONE", "Telefon 030 / 9018 2000", "030 / 9018 2000"),
    ("PHONE", "01 23 45 67 89", "01 23 45 67 89"),
    ("PHONE", "0044 20 7946 0958", "0044 20 7946 0958"),
    ("CARD", "card 4111 1111 1111 1111 exp 12/27", "4111 1111 1111 1111"),
    ("CARD", "3782-822463-10005", "3782-822463-10005"),
    ("CARD", "item 12 5555555555554444", "5555555555554444"),
    ("IBAN", "to DE89 3704 0044 0532 0130 00 now", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "GB82WEST12345698765432 IS MINE", "GB82WEST12345698765432"),
    ("IP", "from 203.0.113.195.", "203.0.113.195"),
    ("IP", "peer 2001:db8:85a3::8a2e:370:7334 up", "2001:db8:85a3::8a2e:370:7334"),
]
_BODY = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"
SECRETS = [
    ("API_KEY", f"key sk-{_BODY}", f"sk-{_BODY}"),
    ("API_KEY", f"sk-ant-api03-{_BODY}-x", f"sk-ant-api03-{_BODY}-x"),
    ("API_KEY", f"sk-proj-{_BODY}", f"sk-proj-{_BODY}"),
    ("API_KEY", "AKIA" + "IOSFODNN7EXAMPLE", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("API_KEY", "ghp_" + _BODY, "ghp_" + _BODY),
    ("API_KEY", "github_pat_11ABC" + _BODY, "github_pat_11ABC" + _BODY),
    ("API_KEY", "xoxb-" + "123456789012-abcdefABCDEF", "xoxb-" + "123456789012-abcdefABCDEF"),
    ("API_KEY", "AIza" + _BODY[:35], "AIza" + _BODY[:35]),
    ("API_KEY", "glpat-" + _BODY[:20], "glpat-" + _BODY[:20]),
    ("API_KEY", "hf_" + _BODY, "hf_" + _BODY),
    ("API_KEY", "Authorization: Bearer " + _BODY, _BODY),
    ("JWT", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{_BODY}", None),
    ("PASSWORD", "postgres://admin:s3cr3t-pw@db.example/x", "s3cr3t-pw"),
    ("PASSWORD", "DB_PASSWORD=correcthorse", "correcthorse"),
    ("PASSWORD", "the password: hunter22!", "hunter22"),
    ("PASSWORD", '{"api_key": "9f8e7d6c5b4a"}', "9f8e7d6c5b4a"),
    ("PASSWORD", '{\\"client_secret\\": \\"9f8e7d6c5b4a\\"}', "9f8e7d6c5b4a"),
]
HARMLESS = [
    "id 123e4567-e89b-12d3-a456-426614174000",
    "all digits 12345678-1234-1234-1234-123456789012",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "commit 9f8e7d6c5b4a39281706f5e4d3c2b1a098765432",
    "order 112-1234567-1234567 and ORD-2024-000123",
    "invoice 1234567890123456",
    "order no. 4500-1234-5678",
    "version 10.15.7.1, Chrome/120.0.6099.109, v1.2.3.4",
    "python 3.11.4, numpy 2.4.0",
    "on 2024-01-15 12:30:45.123456789 and 15/01/2024",
    "timestamp 1767225600000000000",
    "population 8 336 817, revenue 1,234,567,890",
    "ISBN 978-3-16-148410-0",
    "range 1990-2024, pages 100-250",
    "localhost 127.0.0.1:8080 and 0.0.0.0",
    "std::vector<int>, dead::beef, 10:30:45",
    "npm install left-pad@1.3.0 user@localhost",
    "css sk-fading-circle-container-animation",
    "password: required, token: word, secret = os.environ['X']",
    "api_key=$OPENAI_API_KEY password=<your password> api_key=YOUR_API_KEY",
    "pi 3.14159265358979",
    "coordinates 52.5200066, 13.4049540",
    "Is it 14 °C in Paris?",
]


@pytest.mark.parametrize(("entity", "text", "value"), PERSONAL)
def test_masks_personal_data(entity: str, text: str, value: str) -> None:
    masked, findings = REDACTOR.redact(text, "t", "aa", "input/0/0")
    assert [(f.entity, f.secret, f.part) for f in findings] == [(entity, False, "input/0/0")]
    assert value not in masked
    assert text.replace(value, masked[findings[0].start : findings[0].end]) == masked
    assert masked[findings[0].start : findings[0].end].startswith(f"<{entity}_")


@pytest.mark.parametrize(("entity", "text", "value"), SECRETS)
def test_masks_secrets(entity: str, text: str, value: str | None) -> None:
    masked, findings = REDACTOR.redact(text, "t", "aa", "output/0/0")
    assert [(f.entity, f.secret) for f in findings] == [(entity, True)]
    assert (value or text) not in masked
    assert masked[findings[0].start : findings[0].end].startswith("<SECRET_")


@pytest.mark.parametrize("text", HARMLESS)
def test_leaves_what_only_looks_alike(text: str) -> None:
    assert REDACTOR.redact(text, "t", "aa", "p") == (text, [])


def test_masks_private_keys_even_without_their_end() -> None:
    begin = "-----BEGIN RSA PRIVATE KEY-----"
    whole = f"a {begin}\nMIIE\n-----END RSA PRIVATE KEY----- b"
    masked, findings = REDACTOR.redact(whole, "t", "aa", "p")
    assert masked.startswith("a <SECRET_")
    assert masked.endswith("> b")
    assert findings[0].entity == "PRIVATE_KEY"
    assert "MIIE" not in REDACTOR.redact(f"{begin}\nMIIE and more", "t", "aa", "p")[0]


def test_finds_values_after_escapes_of_json_text() -> None:
    text = '{"text": "to:\\n+14155552671\\n203.0.113.195\\nghp_' + _BODY + '"}'
    masked, findings = REDACTOR.redact(text, "t", "aa", "p")
    assert [f.entity for f in findings] == ["PHONE", "IP", "API_KEY"]
    assert masked.startswith('{"text": "to:\\n<PHONE_')


def test_equal_values_stay_equal_within_a_trace_only() -> None:
    def mask(text: str, tenant: str, trace: str) -> str:
        return REDACTOR.redact(text, tenant, trace, "p")[0]

    assert mask("A@B.io", "t", "aa") == mask("a@b.io", "t", "aa")
    assert mask("+1 (415) 555-2671", "t", "aa") == mask("+14155552671", "t", "aa")
    assert mask("a@b.io", "t", "aa") != mask("a@b.io", "t", "bb")
    assert mask("a@b.io", "t", "aa") != mask("a@b.io", "u", "aa")
    assert mask("a@b.io", "t", "aa") != Redactor(KEY[::-1]).redact("a@b.io", "t", "aa", "p")[0]
    hashes = {f.hash for f in REDACTOR.redact("a@b.io c@d.io a@b.io", "t", "aa", "p")[1]}
    assert len(hashes) == 2


def test_offsets_point_at_each_placeholder() -> None:
    text = "mail a@b.io, card 4111111111111111, key ghp_" + _BODY + ", ip 203.0.113.195 end"
    masked, findings = REDACTOR.redact(text, "t", "aa", "p")
    assert [masked[f.start : f.end][:4] for f in findings] == ["<EMA", "<CAR", "<SEC", "<IP_"]
    assert masked.endswith(" end")


def test_overlapping_hits_leave_nothing_readable() -> None:
    masked, findings = REDACTOR.redact("https://me:pw123456@mail.example.com/", "t", "aa", "p")
    assert len(findings) == 1
    assert "pw123456" not in masked


def test_redacted_text_is_stable() -> None:
    text = "a@b.io +14155552671 password=abc12345 203.0.113.195"
    once = REDACTOR.redact(text, "t", "aa", "p")[0]
    assert REDACTOR.redact(once, "t", "aa", "p") == (once, [])


def test_ids_without_personal_data_are_kept() -> None:
    assert REDACTOR.pseudonym("user-42", "t") == "user-42"
    hidden = REDACTOR.pseudonym("jane@example.com", "t")
    assert hidden.startswith("id_")
    assert hidden == REDACTOR.pseudonym("jane@example.com", "t")
    assert hidden != REDACTOR.pseudonym("jane@example.com", "u")


def test_refuses_to_work_without_a_key(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RedactionKeyError, match="redaction_key_file"):
        load_key(Config(privacy={"redaction_key": ""}))  # type: ignore[arg-type]
    with pytest.raises(RedactionKeyError, match="at least 16"):
        load_key(Config(privacy={"redaction_key": "short"}))  # type: ignore[arg-type]
    missing = tmp_path / "absent"
    with pytest.raises(RedactionKeyError, match="absent"):
        load_key(Config(privacy={"redaction_key_file": missing}))  # type: ignore[arg-type]
    missing.write_bytes(KEY + b"\n")
    assert load_key(Config(privacy={"redaction_key_file": missing})) == KEY  # type: ignore[arg-type]


def test_attributes_fail_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> list[object]:
        raise RuntimeError("a@b.io")

    monkeypatch.setattr("processors.operations.redact.detect", broken)
    assert REDACTOR.redact_attribute("a@b.io", "t", "aa") == WITHHELD

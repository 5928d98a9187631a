"""What policies do in topics, tables and traces; what is refused; how failures stay closed."""

import logging
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from processors.operations.content import make_safe
from processors.operations.redact import WITHHELD, WITHHELD_BY_POLICY, Redactor
from processors.store.policy import StorePolicies
from schemas.config import PACKAGE_ROOT, Config
from schemas.privacy import (
    FINDINGS_MAX,
    SECRETS,
    Entity,
    PrivacyConfig,
    ScoreAction,
    StoreAction,
)
from schemas.records import Call, Content, Finding, Fragment, Message, Operation, Part
from stack.commands.common import load_config

KEY = b"0123456789abcdef0123456789abcdef"
MAIL, CARD = "jane@example.org", "4111111111111111"
TEXT = f"mail {MAIL} card {CARD} end"


def privacy(**policy: Any) -> PrivacyConfig:
    """A configuration with this general policy."""
    return PrivacyConfig.model_validate({"policy": policy})


def redactor(**policy: Any) -> Redactor:
    """A redactor with this general policy."""
    return Redactor(KEY, privacy(**policy))


def fragment(text: str, policy: dict[str, Any], tenant: str = "t") -> Fragment:
    """A fragment whose one question was redacted by the policy."""
    said = Content(input=(Message(role="user", parts=(Part(type="text", text=text),)),))
    safe = make_safe(said, "captured", redactor(**policy), tenant, "aa")
    return Fragment(
        tenant=tenant, trace_id="aa" * 16, span_id="bb" * 8, fragment_id="f", signal="span",
        day="2026-01-01", time_ns=1, content=safe.content, findings=safe.findings,
    )  # fmt: skip


def stored_text(text: str, **policy: Any) -> str | None:
    """The text as the table keeps it; None if its content is not stored."""
    stored = StorePolicies(privacy(**policy)).stored(fragment(text, policy))
    return None if stored is None else stored.content.input[0].parts[0].text


# --- score ---------------------------------------------------------------------------------------


def test_actions_of_the_topics() -> None:
    masked, findings = redactor(score={"EMAIL": "mask", "CARD": "keep"}).redact(
        TEXT, "t", "aa", "input/0/0"
    )
    assert masked == f"mail <EMAIL> card {CARD} end"
    assert [masked[f.start : f.end] for f in findings] == ["<EMAIL>", CARD]
    assert {f.entity for f in findings} == {"EMAIL", "CARD"}


def test_a_tenant_has_its_own_policy_over_the_general_one() -> None:
    config = PrivacyConfig.model_validate(
        {
            "policy": {"score": {"EMAIL": "mask"}},
            "tenant_policies": {"shop": {"score": {"CARD": "keep"}}},
        }
    )
    made = Redactor(KEY, config)
    assert made.redact(TEXT, "shop", "aa", "p")[0] == f"mail <EMAIL> card {CARD} end"
    assert made.redact(TEXT, "other", "aa", "p")[0].startswith("mail <EMAIL> card <CARD_")


def test_tool_definitions_keep_nothing() -> None:
    """They have no findings, so the store could not mask them later."""
    said = Content(tools=(TEXT,))
    safe = make_safe(said, "captured", redactor(score={"EMAIL": "keep"}), "t", "aa")
    assert MAIL not in safe.content.tools[0]


def test_every_string_beside_the_texts_is_masked() -> None:
    part = Part(type="media", id=MAIL, name=MAIL, uri=f"https://x/{MAIL}", mime_type=MAIL)
    said = Content(
        input=(Message(role=MAIL, name=MAIL, finish_reason=MAIL, parts=(part,)),), system=(part,)
    )
    safe = make_safe(said, "captured", redactor(), "t", "aa")
    assert MAIL not in safe.content.model_dump_json()


# --- store ---------------------------------------------------------------------------------------


def test_actions_of_the_tables() -> None:
    kept = stored_text(TEXT)
    assert kept is not None
    assert kept.startswith("mail <EMAIL_")
    assert stored_text(TEXT, store={"EMAIL": "hash"}) == kept
    masked = stored_text(TEXT, store={"EMAIL": "mask"})
    assert masked is not None
    assert masked.startswith("mail <EMAIL_****> card <CARD_")
    assert stored_text(TEXT, store={"CARD": "drop"}) == ""
    assert stored_text("nothing in it", store={"CARD": "drop"}) == "nothing in it"
    assert stored_text(TEXT, content="drop") is None


@pytest.mark.parametrize("action", ["hash", "mask"])
def test_what_the_topics_keep_the_tables_can_still_hide(action: str) -> None:
    """In as many characters, so that ranges of explanations stay right."""
    text = f"{TEXT} from 1.2.3.4"
    kept = {"EMAIL": "keep", "CARD": "keep", "IP": "keep"}
    stored = stored_text(text, score=kept, store=dict.fromkeys(kept, action))
    assert stored is not None
    assert len(stored) == len(text)
    assert not any(value in stored for value in (MAIL, CARD, "1.2.3.4"))
    assert stored.endswith("from *******")
    assert ("****" in stored[:24]) is (action == "mask")
    plain = stored_text(text)
    assert plain is not None
    if action == "hash":  # the same code as the placeholder in the topics would have
        assert stored[5:16] == plain[5:16]


def test_texts_whose_findings_were_cut_short_are_not_stored() -> None:
    many = "a@b.io " * (FINDINGS_MAX + 1)
    assert stored_text(many, store={"EMAIL": "mask"}) is None
    assert stored_text(many) is not None


def test_the_operation_says_what_is_not_stored() -> None:
    call = Call(dialect="d", kind="chat", start_ns=1, end_ns=2, content_state="captured")
    found = Finding(entity="CARD", secret=False, part="input/0/0", hash="00" * 8, start=0, end=1)
    operation = Operation(
        tenant="t", trace_id="aa" * 16, span_id="bb" * 8, day="2026-01-01", revision=1,
        fragments=("f",), call=call, findings=(found,),
    )  # fmt: skip
    assert StorePolicies(privacy()).told(operation) == operation
    told = StorePolicies(privacy(content="drop")).told(operation)
    assert told.call.content_state == "dropped_by_policy"
    told = StorePolicies(privacy(store={"CARD": "drop"})).told(operation)
    assert told.call.flags == ("part_dropped_by_policy",)


def test_attributes_take_both_scopes() -> None:
    def attribute(**policy: Any) -> str:
        return redactor(**policy).redact_attribute(TEXT, "t", "aa")

    assert attribute(score={"EMAIL": "keep"}).startswith(f"mail {MAIL} card <CARD_")
    assert attribute(score={"EMAIL": "keep"}, store={"EMAIL": "mask"}).startswith("mail <EMAIL> ")
    assert attribute(score={"EMAIL": "keep"}, store={"EMAIL": "hash"}).startswith("mail <EMAIL_")
    assert attribute(store={"CARD": "drop"}) == WITHHELD_BY_POLICY


def test_the_key_of_an_attribute_tells_what_its_value_is() -> None:
    made = redactor()
    assert made.redact_attribute("4155550142", "t", "aa", "user.phone").startswith("<PHONE_")
    assert made.redact_attribute("hunter22x", "t", "aa", "db.password").startswith("<SECRET_")
    assert made.redact_attribute("4155550142", "t", "aa", "order.id") == "4155550142"
    assert made.redact_key("note.203.0.113.77", "t", "aa").startswith("note <IP_")
    assert made.redact_key("gen_ai.usage.input_tokens", "t", "aa") == "gen_ai.usage.input_tokens"


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "place", "fix"),
    [
        ({"policy": {"score": {"EMIAL": "mask"}}}, "policy.score.EMIAL", "'EMAIL'"),
        ({"policy": {"score": {"EMAIL": "hide"}}}, "policy.score.EMAIL", "'placeholder'"),
        ({"policy": {"store": {"EMAIL": "placeholder"}}}, "policy.store.EMAIL", "'hash'"),
        ({"policy": {"content": "never"}}, "policy.content", "'drop'"),
        ({"tenant_policies": {"shop": {"scor": {}}}}, "tenant_policies.shop.scor", "Extra inputs"),
        ({"policy": {"score": {"JWT": "keep"}}}, "policy", "use placeholder or mask"),
    ],
)
def test_a_wrong_policy_names_the_field_and_the_fix(
    setting: dict[str, Any], place: str, fix: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Config(privacy=setting)  # type: ignore[arg-type]
    (error,) = caught.value.errors()
    assert ".".join(map(str, error["loc"])).startswith(f"privacy.{place}")
    assert fix in error["msg"]


def test_the_command_line_refuses_to_start_with_a_wrong_policy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMGAUGE_PRIVACY__POLICY", '{"store": {"EMIAL": "mask"}}')
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - typer's exit has no public type
        load_config()
    assert getattr(caught.value, "exit_code", None) == 2
    assert "privacy.policy.store.EMIAL" in "".join(capsys.readouterr().err.split())


def test_secrets_are_secrets() -> None:
    assert Entity.PASSWORD in SECRETS
    assert Entity.EMAIL not in SECRETS


# --- failures ------------------------------------------------------------------------------------


def test_whatever_breaks_the_content_is_withheld_and_no_log_tells_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> list[object]:
        raise RuntimeError(TEXT)

    monkeypatch.setattr("processors.operations.redact.detect", broken)
    said = Content(input=(Message(role="user", parts=(Part(type="text", text=TEXT),)),))
    with caplog.at_level(logging.DEBUG):
        safe = make_safe(said, "captured", redactor(), "t", "aa")
        assert redactor().redact_attribute(TEXT, "t", "aa") == WITHHELD
        assert redactor().redact_attribute(TEXT, "t", "aa", "user.phone") == WITHHELD
        assert redactor().redact_key(TEXT, "t", "aa") == WITHHELD
        assert redactor().pseudonym(MAIL, "t").startswith("id_")
    assert (safe.content, safe.state) == (Content(), "dropped_by_policy")
    assert safe.flags == ["redaction_failed"]
    assert MAIL not in caplog.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize(
    ("key", "text", "masked"),
    [("db.password", "rosebud", True), ("user.accessToken", "abcdefghij", True),
     ("password", "correct horse", True), ("gen_ai.token.type", "input", False),
     ("token", "rosebud", False), ("db.password", "true", False), ("page_token", "abc1x", False)],
)  # fmt: skip
def test_the_key_of_a_password_masks_its_value(key: str, text: str, masked: bool) -> None:
    assert (redactor().redact_attribute(text, "t", "aa", key) != text) == masked


# --- the page ------------------------------------------------------------------------------------


def test_the_page_has_every_entity_and_action() -> None:
    page = (PACKAGE_ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| `")]
    assert rows[: len(Entity)] == [f"`{entity}`" for entity in Entity]
    for action in (*get_args(ScoreAction), *get_args(StoreAction)):
        assert f"| `{action}`" in page

"""What tables keep of a call's texts, by the ``store`` scope of the tenant's policy.

The topics carry what models judge; here each value found in a text is kept, hashed, masked or
takes its text with it. A value is replaced by exactly as many characters, so that the ranges in
explanations go on pointing at what was judged. Works on findings alone and needs no key: texts
whose findings were cut short are not stored if the policy asks for anything at all.
"""

import base64
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from processors.operations.content import map_texts
from schemas.privacy import FINDINGS_MAX, PolicyConfig, PrivacyConfig, StoreAction
from schemas.records import Finding, Fragment, Operation

DROPPED = "dropped_by_policy"
TextsT = TypeVar("TextsT", Fragment, Operation)


class StorePolicies:
    """The policies of all tenants."""

    def __init__(self, privacy: PrivacyConfig) -> None:
        self._privacy = privacy
        self._known: dict[str, PolicyConfig] = {}

    def stored(self, record: TextsT) -> TextsT | None:
        """The fragment or operation with the texts that may be stored; None if none may."""
        policy = self._of(record.tenant)
        if policy.content == "drop":
            return None
        if all(action == "keep" for action in policy.store.values()):
            return record
        if len(record.findings) >= FINDINGS_MAX:
            return None
        found: dict[str, list[Finding]] = defaultdict(list)
        for finding in record.findings:
            if _action(policy, finding) != "keep":
                found[finding.part].append(finding)
        if not found:
            return record
        content = map_texts(
            record.content,
            lambda part, text: _stored_text(text, found[part], policy) if part in found else text,
        )
        return record.model_copy(update={"content": content})

    def keeps_content(self, tenant: str) -> bool:
        """Whether anything made of the tenant's texts may be stored."""
        return self._of(tenant).content != "drop"

    def told(self, operation: Operation) -> Operation:
        """The operation, saying so if texts of it are not stored."""
        policy = self._of(operation.tenant)
        call = operation.call
        if policy.content == "drop" and call.content_state == "captured":
            call = call.model_copy(update={"content_state": DROPPED})
        elif any(_action(policy, finding) == "drop" for finding in operation.findings):
            call = call.model_copy(update={"flags": (*call.flags, f"part_{DROPPED}")})
        else:
            return operation
        return operation.model_copy(update={"call": call})

    def _of(self, tenant: str) -> PolicyConfig:
        known = self._known.get(tenant)
        if known is None:
            known = self._known[tenant] = self._privacy.policy_of(tenant)
        return known


def _action(policy: PolicyConfig, finding: Finding) -> StoreAction:
    return next((a for entity, a in policy.store.items() if entity == finding.entity), "keep")


def _stored_text(text: str, findings: Sequence[Finding], policy: PolicyConfig) -> str:
    if any(_action(policy, finding) == "drop" for finding in findings):
        return ""
    parts: list[str] = []
    read = 0
    for finding in sorted(findings, key=lambda finding: finding.start):
        hashed = _action(policy, finding) == "hash"
        parts += (
            text[read : finding.start],
            _stand_in(text[finding.start : finding.end], finding, hashed),
        )
        read = finding.end
    return "".join(parts) + text[read:]


def _stand_in(value: str, finding: Finding, hashed: bool) -> str:
    """As many characters as the value has: a placeholder, with its hash or without."""
    label = "SECRET" if finding.secret else finding.entity
    if value == f"<{label}>":
        return value
    code = base64.b32encode(bytes.fromhex(finding.hash)[:5])[:4].decode() if hashed else "****"
    begin = f"<{label}_{code}"
    if len(begin) >= len(value):
        return "*" * len(value)
    return begin.ljust(len(value) - 1, "_") + ">"

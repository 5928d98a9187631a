"""A test alert and its end, as a rule would have written them. Pure."""

from schemas.alert_records import AlertTransition
from schemas.identity import fingerprint, transition_id

NAME = "TestAlert"
NS_PER_S = 1_000_000_000


def trial_alert(tenant: str, now_ns: int) -> tuple[AlertTransition, AlertTransition]:
    """Firing and resolved, of this second."""
    start_ns = now_ns // NS_PER_S * NS_PER_S
    labels = {"alertname": NAME, "severity": "ticket", "service_name": "test"}
    steps = "1. Nothing is wrong. 2. Somebody tests this receiver. 3. Go on."
    firing = AlertTransition(
        tenant=tenant,
        transition_id=transition_id(tenant, NAME, "1", labels, "firing", start_ns),
        fingerprint=fingerprint(tenant, NAME, labels),
        rule=NAME,
        rule_version="1",
        status="firing",
        labels=labels,
        annotations={"summary": "A test of this receiver", "first_steps": steps},
        starts_at_ns=start_ns,
        value=1.0,
    )
    resolved = firing.model_copy(
        update={
            "transition_id": transition_id(tenant, NAME, "1", labels, "resolved", start_ns),
            "status": "resolved",
            "ends_at_ns": start_ns + 1,
        }
    )
    return firing, resolved

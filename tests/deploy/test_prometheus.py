"""What Prometheus scrapes, and its alerts about the line, agree with Compose and the metrics."""

import re

import yaml

from schemas.metrics import PROCESS
from tests.deploy.test_compose import DEPLOY, METRICS_PORT, OURS, ROOT
from tests.deploy.test_dashboards import SCRAPED, check_promql


def test_prometheus_scrapes_every_process_and_its_rules_name_real_metrics() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {name for job in jobs for found in job["dns_sd_configs"] for name in found["names"]}
    assert targets == set(OURS) - {"migrate"}
    assert all(found["port"] == METRICS_PORT for job in jobs for found in job["dns_sd_configs"])
    operations = (ROOT / "docs" / "operations.md").read_text()
    groups = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        check_alert(rule["expr"])
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in operations, rule["alert"]


def check_alert(expression: str) -> None:
    """Its metrics are declared, or Prometheus's own, or the client's, by labels that they have."""
    of_processes = re.findall(r"\b(up|process_\w+)\{(\w+)=~?\"", expression)
    if not of_processes:
        check_promql(expression)
    for name, label in of_processes:
        assert name in {"up", *(family.name for family in PROCESS.collect())}
        assert label in SCRAPED


def test_a_service_that_is_not_there_at_all_is_noticed() -> None:
    """What vanished is no target, so that its `up` is no 0 either: the rule names each service."""
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"]
    (expression,) = (r["expr"] for r in group["rules"] if r["alert"] == "StreamgaugeServiceMissing")
    absent = re.findall(r'absent\(up\{service="([\w-]+)"\}\)', expression)
    optional = {name for name, service in OURS.items() if "profiles" in service}
    assert sorted(absent) == sorted(set(OURS) - {"migrate"} - optional)
    assert all(f'unless on () up{{service="{name}"}}' in expression for name in optional)

"""The dashboard, the rules and the runbook are about the service that there is."""

from __future__ import annotations

import re

import httpx

from tests.monitoring.files import ROOT, alerts, exposed, names_in, panel_expressions, rules

RUNBOOK = (ROOT / "docs/runbook.md").read_text()


def test_every_alert_has_a_section_of_the_runbook_and_every_section_an_alert() -> None:
    sections = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"


def test_every_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    assert {alert["labels"]["severity"] for alert in alerts()} == {"page", "ticket"}
    assert all(alert["annotations"]["summary"] for alert in alerts())


def test_every_metric_that_is_used_is_one_of_the_running_service(service: httpx.Client) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = [names_in(expression) for expression in (*panel_expressions(), *(rule["expr"] for rule in rules()))]
    assert len(used) > 60
    assert set().union(*used) <= recorded | exposed(service)


def test_the_dashboard_shows_every_metric(service: httpx.Client) -> None:
    shown = set().union(*(names_in(expression) for expression in panel_expressions()))
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in exposed(service)}
    assert families - {re.sub("_(bucket|sum|count)$", "", name) for name in shown} == set()

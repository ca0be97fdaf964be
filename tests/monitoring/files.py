"""What operators load into Prometheus and Grafana, read from `monitoring/`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RULES = MONITORING / "rules.yaml"
CONFIG = MONITORING / "prometheus.yaml"
_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")


def rules() -> list[dict[str, Any]]:
    """Every recording rule and alert."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The alerts alone."""
    return [rule for rule in rules() if "alert" in rule]


def panel_expressions() -> Iterator[str]:
    """What the dashboard asks Prometheus for, with its variables filled in."""
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$job", ".*").replace("$__rate_interval", "5m")


def names_in(expression: str) -> set[str]:
    """The metrics of ours that an expression uses, those that rules record included."""
    return set(re.findall(r"\bonepass(?:_|:)[\w:]+", expression))


def exposed(service: httpx.Client) -> set[str]:
    """The names of all samples that a service's metrics have, or will have once there is something to tell."""
    names = set()
    for family in text_string_to_metric_families(service.get("/metrics").text):
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names.update(family.name + part for part in _OF_A_HISTOGRAM)
            case _ if not family.name.endswith("_created"):  # the library tells when it began to count
                names.add(family.name)
            case _:
                pass
    return names

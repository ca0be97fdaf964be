"""``docker-compose.yml``: what it starts, with which rights, and that what it names is there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.ranking.profile import find
from service.ranking.readings import Reading
from service.settings import load
from tests.deploy.manifests import ROOT, documents
from tests.deploy.policy import PINNED, SECRET

(COMPOSE,) = documents((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CHOICES = [".env", "cpu.env"]
EACH = pytest.mark.parametrize("name", SERVICES)


def choice(file: str) -> dict[str, str]:
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@EACH
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert PINNED.fullmatch(service["image"])
    assert service["volumes"] if name != "valkey" else service["tmpfs"]


@EACH
def test_only_this_machine_reaches_it(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@EACH
def test_no_secret_has_a_value(name: str) -> None:
    environment = SERVICES[name].get("environment") or {}
    assert [variable for variable, value in environment.items() if SECRET.search(variable) and value] == []


@EACH
def test_what_it_waits_for_can_happen(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        match how["condition"]:
            case "service_healthy":
                assert "test" in SERVICES[needed]["healthcheck"]
            case condition:
                assert condition == "service_completed_successfully"
                assert SERVICES[needed]["restart"] == "no"


@EACH
def test_its_volumes_and_files_are_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]


@EACH
def test_a_target_that_is_built_is_there(name: str) -> None:
    if "build" in SERVICES[name]:
        target = SERVICES[name]["build"]["target"]
        assert re.search(rf"^FROM .* AS {target}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_model_server_has_the_shared_memory_that_vllm_asks_for() -> None:
    assert SERVICES["vllm"]["shm_size"] == "4gb"


@pytest.mark.parametrize("file", CHOICES)
def test_a_choice_starts_a_gateway_and_the_model_server_that_it_needs(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choice(file)
    started = [name for name, service in SERVICES.items() if chosen["COMPOSE_PROFILES"] in service.get("profiles", [])]
    assert started == {".env": ["vllm"], "cpu.env": []}[file]

    environment = {name: value for name, value in SERVICES["gateway"]["environment"].items() if value is not None}
    for name, value in environment.items():
        monkeypatch.setenv(name, re.sub(r"\$\{(\w+):\?.*\}", lambda found: chosen[found[1]], value))
    settings = load()
    assert settings.engine.kind == ("vllm" if started else "encoders")
    assert (find(settings.ranking.profile).reading is Reading.ENCODED) == (not started)


def test_a_gateway_is_given_the_time_that_it_takes_to_end() -> None:
    grace = float(SERVICES["gateway"]["environment"]["ONEPASS_SERVER__SHUTDOWN_GRACE_S"])
    assert float(SERVICES["gateway"]["stop_grace_period"].removesuffix("s")) >= grace + 5

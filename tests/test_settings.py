from __future__ import annotations

import pytest

from service.errors import ConfigurationError
from service.settings import EngineKind, Settings, load, variable
from service.settings_reference import rows


def test_a_setting_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("engine", "kind"), "fake")
    monkeypatch.setenv(variable("server", "port"), "9999")

    settings = load()

    assert settings.engine.kind is EngineKind.FAKE
    assert settings.server.port == 9999
    assert settings.engine.threads == Settings().engine.threads


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONEPASS_ENGIN__THREADS", "4"),
        ("ONEPASS_ENGINE__THREDS", "4"),
        ("ONEPASS_ENGINE__THREADS", "none"),
        ("ONEPASS_SERVER__PORT", "99999"),
        ("ONEPASS_LOGS__LEVEL", "loud"),
    ],
)
def test_a_misspelt_name_or_a_value_that_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name.split("__", maxsplit=1)[0]):
        load()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("embedder", "api_key"), "sesame")
    assert "sesame" not in repr(load())


def test_every_setting_says_what_it_is_for() -> None:
    assert all(row.description for row in rows())

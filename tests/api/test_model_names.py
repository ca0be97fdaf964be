from __future__ import annotations

import pytest

from service.api.model_names import ModelNames
from service.errors import ConfigurationError, NotFound

SERVED = ["mini", "large"]


def test_a_name_is_a_profile_or_an_alias() -> None:
    names = ModelNames(SERVED, {"rerank-v3.5": "large"}, default="mini", any_model=False)

    assert [names.profile(name) for name in (None, "", "mini", "rerank-v3.5")] == [
        "mini",
        "mini",
        "mini",
        "large",
    ]
    with pytest.raises(NotFound) as raised:
        names.profile("rerank-v4")
    assert raised.value.field == "model"


def test_any_other_name_may_mean_the_default() -> None:
    names = ModelNames(SERVED, {"rerank-v3.5": "large"}, default="mini", any_model=True)

    assert [names.profile(name) for name in ("rerank-v4", "large", "rerank-v3.5")] == ["mini", "large", "large"]
    assert names.known == ["mini", "large", "rerank-v3.5"]


def test_an_alias_of_nothing_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="huge, which is not served"):
        ModelNames(SERVED, {"rerank-v3.5": "huge"}, default="mini", any_model=True)

"""What the ``model`` of a request means: a profile, an alias of one, or, where allowed, nothing in particular."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from service.errors import ConfigurationError, NotFound


class ModelNames:
    """Names of the profiles that are ``served``, and the ``aliases`` of these.

    With ``any_model``, every other name means the default profile: clients send the names they were written for.

    Raises:
        ConfigurationError: an alias of a profile that is not served.
    """

    def __init__(self, served: Collection[str], aliases: Mapping[str, str], *, default: str, any_model: bool) -> None:
        for alias, profile in aliases.items():
            if profile not in served:
                raise ConfigurationError(f"the alias {alias} means {profile}, which is not served")
        self._profiles = {default: default, **{name: name for name in served}, **aliases}
        self._default = default
        self._any_model = any_model

    @property
    def known(self) -> list[str]:
        """Every name with a meaning of its own, the default profile first."""
        return list(self._profiles)

    def profile(self, name: str | None) -> str:
        """The profile that ``name`` means; the default one where there is no name, or an empty one.

        Raises:
            NotFound: it means none.
        """
        if not name:
            return self._default
        if name not in self._profiles and not self._any_model:
            raise NotFound(f"no model of that name; there is: {', '.join(self._profiles)}", field="model")
        return self._profiles.get(name, self._default)

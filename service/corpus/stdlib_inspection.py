"""Print the documentation of this interpreter's standard library as JSON lines.

A script, not a module: reading docstrings means importing the whole standard library, which no service wants in its
own process. ``stdlib_docs`` runs it by its path in an isolated interpreter (``-I -S``), so it may import nothing of
ours and nothing installed. A line is ``{"name", "kind", "module", "signature", "doc"}``; lines are sorted by name.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

ACTS_ON_IMPORT = {"antigravity", "this", "__hello__", "__phello__"}
PROGRAMS = {"idlelib", "turtledemo", "ensurepip", "lib2to3", "distutils"}
TESTS = {"test", "tests", "xxlimited", "xxlimited_35", "xxsubtype"}
OTHER_PLATFORMS = {"ctypes.wintypes", "ctypes.macholib"}
HIDDEN = {"socket.SocketType"}
"""Public names of a base that only its subclass is known for."""
TABLES = {"encodings", "pydoc_data"}
"""Packages whose submodules are generated tables."""
IMPLEMENTATIONS = {"posixpath", "ntpath", "genericpath", "posix", "nt", "nturl2path", "sre_compile", "sre_constants"}
"""Public names of what is documented under ``os``, ``os.path``, ``urllib.request`` and ``re``."""
SKIPPED = ACTS_ON_IMPORT | PROGRAMS | TESTS | OTHER_PLATFORMS | IMPLEMENTATIONS | {"sre_parse", "__main__"}

LITERALS = (bool, int, float, str, bytes, types.NoneType)
MAX_DEFAULT = 40
GENERATED = re.compile(r"(?s:Alias for field number \d+|An enumeration\.|Internal function\.|Initialize self\. .*)")
"""Docstrings that some machinery wrote and nobody reads."""


class Entry(NamedTuple):
    """One documented thing. ``name`` is the name a program would use, without ``builtins.``."""

    name: str
    kind: str
    module: str
    signature: str
    doc: str


class Place(NamedTuple):
    """A public name under which an object can be reached."""

    module: str
    attribute: str


def module_names() -> Iterator[str]:
    """Every public module of the standard library, parents before children."""
    for name in sorted(sys.stdlib_module_names):
        if not is_private(name) and name not in SKIPPED:
            yield from tree_of(name)


def tree_of(name: str) -> Iterator[str]:
    """``name`` and its public submodules."""
    yield name
    module = imported(name)
    if module is None or name in TABLES:
        return
    for child in sorted(found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))):
        if not is_private(child) and not {child, f"{name}.{child}"} & SKIPPED:
            yield from tree_of(f"{name}.{child}")


def is_private(name: str) -> bool:
    """Whether any part of a dotted name starts with an underscore."""
    return any(part.startswith("_") for part in name.split("."))


def imported(name: str) -> types.ModuleType | None:
    """The module, or nothing when this platform or build does not have it."""
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a module for another platform may fail in any way it likes
        return None


def modules() -> dict[str, types.ModuleType]:
    """The public modules that can be imported here, by the name to show."""
    found = {name: module for name in module_names() if (module := imported(name)) is not None}
    return found | {"os.path": os.path}


def exports(name: str, module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module offers under its own name, with the attribute's name."""
    declared = getattr(module, "__all__", ())
    for attribute in sorted({*declared, *dir(module)}):
        if is_private(attribute) or f"{name}.{attribute}" in HIDDEN:
            continue
        value = getattr(module, attribute, None)
        if is_documentable(value) and (attribute in declared or is_own(name, value, declares=bool(declared))):
            yield attribute, value


def is_own(name: str, value: Any, *, declares: bool) -> bool:
    """Whether something a module holds but does not declare is still its own.

    What it took from its public submodules always is; what it or its C half defines only where it declares nothing.
    """
    home = getattr(value, "__module__", None) or name
    from_submodule = home.startswith(name + ".") and not is_private(home)
    defined_here = name in {home, "builtins"} or is_private(home)
    return from_submodule or (defined_here and not declares)


def is_documentable(value: Any) -> bool:
    """Classes and routines, and objects such as ``typing.Optional`` that carry a docstring of their own."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return True
    if isinstance(value, (enum.Enum, types.ModuleType)):
        return False
    doc = getattr(value, "__doc__", None)
    return isinstance(doc, str) and doc != type(value).__doc__


def canonical_places(found: dict[str, types.ModuleType]) -> dict[int, tuple[Place, Any]]:
    """One public name for each object, by identity: ``json.JSONDecoder`` rather than ``json.decoder.JSONDecoder``."""
    places: dict[int, tuple[Place, Any]] = {}
    for name, module in found.items():
        for attribute, value in exports(name, module):
            place = Place(name, attribute)
            known = places.get(id(value))
            if known is None or distance(place, value) < distance(known[0], value):
                places[id(value)] = (place, value)
    return places


def distance(place: Place, value: Any) -> tuple[bool, bool, int, bool, Place]:
    """How far a name is from the one people use: builtins, then the defining package, then the shortest path."""
    home = getattr(value, "__module__", None) or ""
    is_home = home == place.module or home.startswith(place.module + ".")
    own_name = place.attribute == getattr(value, "__name__", None)
    return place.module != "builtins", not is_home, place.module.count("."), not own_name, place


def entries() -> Iterator[Entry]:
    """Every documented module, class, function, method and property."""
    found = modules()
    places = canonical_places(found)
    for name, module in found.items():
        if doc := own_doc(module):
            yield Entry(name, "module", name, "", doc)
    # A module's function may be a method of a hidden instance, as `random.choice` is; its class need not repeat it.
    functions = {id(getattr(value, "__func__", value)) for _, value in places.values()}
    for place, value in places.values():
        if inspect.isclass(value):
            yield from class_entries(place, value, places.keys() | functions)
        elif doc := own_doc(value):
            kind = "function" if inspect.isroutine(value) else "data"
            yield Entry(shown(place), kind, place.module, signature(shown(place), value), doc)


def shown(place: Place) -> str:
    """The name as a program spells it."""
    return place.attribute if place.module == "builtins" else f"{place.module}.{place.attribute}"


def class_entries(place: Place, cls: type, elsewhere: set[int]) -> Iterator[Entry]:
    """The class itself and those members that no other public class documents."""
    name = shown(place)
    members = list(own_members(cls, elsewhere))
    if doc := class_doc(cls, [attribute for attribute, _ in members]):
        yield Entry(name, "class", place.module, signature(name, cls), doc)
    for attribute, member in members:
        if doc := own_doc(member):
            kind = "property" if inspect.isdatadescriptor(member) else "method"
            title = f"{name}.{attribute}"
            yield Entry(title, kind, place.module, signature(title, member), doc)


def class_doc(cls: type, members: list[str]) -> str:
    """The class's and its initialiser's docstrings; for a class that has neither, what ``pydoc`` would list of it."""
    parts = [own_doc(cls), own_doc(vars(cls).get("__init__"))]
    if not any(parts) and members:
        parts = ["Members: " + ", ".join(members)]
    return "\n\n".join(part for part in parts if part)


def own_members(cls: type, elsewhere: set[int]) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of ``cls`` and of those bases that have no public name themselves."""
    seen: set[int] = set()
    public_bases = [base for base in cls.__mro__[1:] if id(base) in elsewhere]
    for attribute in dir(cls):
        member = static_member(cls, attribute)
        if is_private(attribute) or any(static_member(base, attribute) is member for base in public_bases):
            continue
        if not (inspect.isroutine(member) or inspect.isdatadescriptor(member)):
            continue
        if id(member) not in seen and id(member) not in elsewhere:
            seen.add(id(member))
            yield attribute, member


def static_member(cls: type, attribute: str) -> Any:
    """What a class holds under a name, without calling its descriptors."""
    member = inspect.getattr_static(cls, attribute, None)
    return getattr(member, "__func__", member)


def own_doc(value: Any) -> str:
    """The cleaned docstring written for ``value`` itself, not one it inherits."""
    doc = vars(value).get("__doc__") if inspect.isclass(value) else getattr(value, "__doc__", None)
    if not isinstance(doc, str) or GENERATED.fullmatch(doc):
        return ""
    return inspect.cleandoc(doc)


def signature(name: str, value: Any) -> str:
    """``name(parameters)``, the same on every machine: no addresses, paths or environments among the defaults."""
    try:
        found = inspect.signature(value)
    except Exception:  # noqa: BLE001 - C functions without one, or with one whose defaults cannot be evaluated
        return ""
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty, default=plain_default(parameter.default))
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    return f"{name}{found.replace(parameters=plain, return_annotation=inspect.Signature.empty)}"


class Verbatim(str):
    """Text that a signature shows as it is."""

    __slots__ = ()
    __repr__ = str.__str__


def plain_default(default: Any) -> Any:
    """A default value that prints the same everywhere."""
    if default is inspect.Parameter.empty:
        return default
    if inspect.isclass(default) or inspect.isroutine(default):
        return Verbatim(default.__qualname__)
    if isinstance(default, enum.Enum):
        return Verbatim(f"{type(default).__name__}.{default.name}")
    is_path = isinstance(default, str) and len(default) > 1 and os.sep in default
    if isinstance(default, (*LITERALS, tuple)) and not is_path and len(repr(default)) <= MAX_DEFAULT:
        return default
    return Verbatim("...")


def main() -> None:
    """Write every entry to standard output, keeping what imported modules print away from it."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with warnings.catch_warnings(), output:
        warnings.simplefilter("ignore")
        # `unittest.main` names a module and a class: the later, more telling one stays.
        by_name = {entry.name: entry for entry in entries()}
        for _, entry in sorted(by_name.items()):
            output.write(json.dumps(entry._asdict(), ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()

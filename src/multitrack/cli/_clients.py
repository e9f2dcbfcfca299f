"""What is installed of a backend's client, and what the package asks for."""

from __future__ import annotations

from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from multitrack.trackers import registry

PACKAGE = "multitrack"


class Client(NamedTuple):
    """A backend's client on this machine.

    Attributes:
        name: its distribution; the first that would do, if none is installed.
        version: the installed version, None if there is none.
        asked: the versions that the package's extra asks for; any, for a backend of others.
        command: what to type to get it, or a version that will do.
    """

    name: str
    version: str | None
    asked: SpecifierSet
    command: str

    @property
    def is_in_range(self) -> bool:
        """Whether the installed version is one that the package asks for."""
        return self.version is not None and self.asked.contains(self.version, prereleases=True)


def find_client(backend: str) -> Client | None:
    """Return what is installed of a backend's client, without importing it; None if it has none.

    Raises:
        ValueError: no backend has this name.
        TypeError: a third-party entry point gives no tracker.
    """
    distributions = registry.load(backend).distributions
    if not distributions:
        return None
    installed = [(name, version) for name in distributions if (version := _version(name))]
    name, version = installed[0] if installed else (distributions[0], None)
    asked = _asked(backend, distributions)
    return Client(name, version, asked, registry.install_command(backend))


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _asked(extra: str, distributions: tuple[str, ...]) -> SpecifierSet:
    names = {canonicalize_name(name) for name in distributions}
    for line in metadata.requires(PACKAGE) or []:
        requirement = Requirement(line)
        belongs = requirement.marker and requirement.marker.evaluate({"extra": extra})
        if belongs and canonicalize_name(requirement.name) in names:
            return requirement.specifier
    return SpecifierSet()

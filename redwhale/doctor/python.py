"""Python and its packages."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from redwhale import __version__
from redwhale.doctor.finding import Finding
from redwhale.doctor.needs import Needs

PACKAGE = "redwhale"
_INSTALL = "install it as the README says (`pip install -e .`)"


def check_system() -> Finding:
    """Say what this is, for whoever reads the lines elsewhere."""
    libc = " ".join(platform.libc_ver())
    words = f"{__version__} on {platform.system()} {platform.release()}, {libc}, {platform.machine()}"
    if platform.system() != "Linux":
        return Finding("redwhale", "warn", words, "use Linux (or WSL 2): nothing else is tested")
    return Finding("redwhale", "ok", words)


def check_python() -> Finding:
    """Check Python against the versions that the package takes."""
    asked = distribution(PACKAGE).metadata["Requires-Python"]
    here = platform.python_version()
    bits = 64 if sys.maxsize > 2**32 else 32
    if bits != 64 or not SpecifierSet(asked).contains(here, prereleases=True):
        return Finding("python", "fail", f"{here}, {bits} bits", f"make an environment with Python {asked} of 64 bits")
    return Finding("python", "ok", f"{here}{', in an environment of its own' if sys.prefix != sys.base_prefix else ''}")


def check_packages(needs: Needs) -> Finding:
    """Check what is installed against the versions that the package, and extras that the recipe needs, take."""
    try:
        lines = distribution(PACKAGE).requires or []
    except PackageNotFoundError:
        return Finding("packages", "warn", "redwhale itself is not installed, so its needs are not known", _INSTALL)
    wanted = requirements(lines, needs.extras)
    faults = out_of_range(wanted, {each.name: installed_version(each.name) for each in wanted})
    extras = f" (with {', '.join(needs.extras)})" if needs.extras else ""
    if faults:
        found = "; ".join(f"{each.name} {found or 'is missing'}, needed {each.specifier}" for each, found in faults)
        fix = "pip install " + " ".join(f"'{each.name}{each.specifier}'" for each, _ in faults)
        return Finding("packages", "fail", found, fix)
    return Finding("packages", "ok", f"{len(wanted)} in the versions that redwhale takes{extras}")


def requirements(lines: Iterable[str], extras: Iterable[str]) -> list[Requirement]:
    """Return those that apply here, of the package itself and of ``extras``."""
    found = []
    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found.append(wanted)
    return found


def out_of_range(
    wanted: Iterable[Requirement], installed: Mapping[str, str | None]
) -> list[tuple[Requirement, str | None]]:  # fmt: skip
    """Return the requirements that are not met, each with the version there is."""
    found = [(each, installed[each.name]) for each in wanted]
    return [(each, there) for each, there in found if there is None or not each.specifier.contains(there, True)]


def installed_version(name: str) -> str | None:
    """Return a package's version, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None

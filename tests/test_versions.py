"""The lowest versions: what pyproject.toml names is what `.ci/run` installs and tests with."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def release(version):
    """The numbers of a release without trailing zeros: 2.0 and 2.0.0 are one."""
    return re.sub(r"(\.0)+$", "", version)


def test_lowest_versions_are_the_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        required.extend(extra)
    pins = re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / ".ci/lowest.txt").read_text(), flags=re.M)
    lowest = {name: release(version) for name, version in pins}
    for requirement in required:
        bound = re.match(r"([\w-]+)>=([\d.]+)", requirement)
        if bound:
            name, version = bound.groups()
            assert lowest.get(name) == release(version)

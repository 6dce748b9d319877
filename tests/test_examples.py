"""Every example runs as a script, and so does every recipe of the README and CONTRIBUTING.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# example: package beyond those of the test environment, which is not everywhere at hand
NEEDED = {"plot_discover_earth": "ppigrf"}
RECIPES = [
    recipe
    for page in ("README.md", "CONTRIBUTING.md")
    for recipe in re.findall(
        r"^```python\n(.*?)^```",
        (ROOT / page).read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
]


def assert_runs(arguments, directory):
    """Run a script in `directory`, where its figures go; any warning is a failure."""
    run = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=directory,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.extended
def test_example(path, tmp_path):
    if path.stem in NEEDED:
        pytest.importorskip(NEEDED[path.stem], reason='needs pip install -e ".[examples]"')
    assert_runs([path], tmp_path)


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_recipe(number, tmp_path):
    assert_runs(["-c", RECIPES[number]], tmp_path)

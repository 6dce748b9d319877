"""The structure of the package: who may import whom, and what an import may load."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sksym

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sksym"

# A module imports from the lines above its own, never from its neighbours on the line.
LAYERS = [
    {"_linalg", "_estimator"},
    {"groups"},
    {"libraries", "solvers", "statistics"},
    {"lie_derivative"},
    {"equivariant"},
    {"evidence"},
    {"enforce", "promote", "mirror"},
    {"dynamics"},
    {"discover"},
    {"pysindy", "plotting"},
    {"testing", "datasets"},
    {"__init__"},
]
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}

# Imported inside the functions that need them, so that `import sksym` stays light.
HEAVY = {
    "astropy_iers_data",
    "cvxpy",
    "de421",
    "jplephem",
    "matplotlib",
    "pandas",
    "pysindy",
    "torch",
}

FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [path.relative_to(PACKAGE).as_posix() for path in FILES]
every_file = pytest.mark.parametrize("path", FILES, ids=IDS)


def module_of(path):
    """Name in LAYERS: a subpackage such as libraries/ counts as one module."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_names(node, path):
    """Absolute dotted names that an import statement reaches."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    source = node.module or ""
    if node.level:
        package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
        source = ".".join([*package, source] if source else package)
    return [f"{source}.{alias.name}" for alias in node.names]


def imports(path):
    """(dotted name, line, whether inside a function) for all imports of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    local = {id(node) for function in functions for node in ast.walk(function)}
    return [
        (name, node.lineno, id(node) in local)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(node, path)
    ]


def own_target(name):
    """Module in LAYERS that a dotted name reaches, None outside the package."""
    parts = name.split(".")
    if parts[0] != "sksym":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "__init__"


def layer_faults(module, names):
    """What the layers forbid among the dotted names that a module imports."""
    targets = {name: own_target(name) for name in names}
    return [
        f"{module} imports {name}"
        for name, target in targets.items()
        if target not in (None, module) and LEVEL[target] >= LEVEL[module]
    ]


@every_file
def test_module_imports_only_from_earlier_layers(path):
    module = module_of(path)
    assert module in LEVEL, f"{module} is new: give it a line in LAYERS"
    assert not layer_faults(module, [name for name, _, _ in imports(path)])


def test_layer_rule_sees_faults():
    assert layer_faults("libraries", ["sksym.enforce.SymmetricRidge"])
    assert layer_faults("libraries", ["sksym.solvers.Solution"])
    assert layer_faults("enforce", ["sksym.so"])
    assert not layer_faults("libraries", ["sksym.libraries.polynomial", "sksym._linalg.x", "numpy"])


@every_file
def test_private_scikit_learn_names_stay_in_one_module(path):
    private = [
        f"{path.name}:{line} {name}"
        for name, line, _ in imports(path)
        if name.startswith("sklearn.") and any(part.startswith("_") for part in name.split("."))
    ]
    assert module_of(path) == "_estimator" or not private


@every_file
def test_only_heavy_packages_are_imported_inside_functions(path):
    faults = [
        f"{path.name}:{line} {name}"
        for name, line, inside in imports(path)
        if inside != (name.split(".")[0] in HEAVY)
        and not (module_of(path) == "pysindy" and name.split(".")[0] == "pysindy")
    ]
    assert not faults


def loaded_by(statement):
    """Top-level modules that a fresh interpreter holds after `statement`."""
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def assert_light(statement):
    loaded = loaded_by(statement)
    assert loaded.isdisjoint({"cvxpy", "matplotlib", "pysindy"})
    # scikit-learn itself loads pandas where that is installed.
    assert HEAVY.isdisjoint(loaded - loaded_by("import sklearn.linear_model"))


def test_import_stays_light():
    assert_light("import sksym")


def test_every_module_but_pysindy_stays_light():
    modules = {module_of(path) for path in FILES} - {"__init__", "pysindy"}
    assert_light("import " + ", ".join(f"sksym.{module}" for module in sorted(modules)))


@every_file
def test_every_to_do_names_a_version_that_lies_ahead(path):
    now = tuple(int(part) for part in sksym.__version__.split(".")[:2])
    text = path.read_text(encoding="utf-8")
    dated = re.findall(r"TODO\((\d+)\.(\d+)\)", text)
    assert len(dated) == len(re.findall(r"\b(?:TODO|FIXME|XXX)\b", text))
    assert all((int(major), int(minor)) > now for major, minor in dated)

"""How easily the package reads: density, branches, lengths, comments and docstrings, counted.

``pytest tests/test_density.py -s -k table`` prints the counts of every module.
"""

import ast
import io
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import sksym

PACKAGE = Path(__file__).resolve().parents[1] / "sksym"

NODES_OF_MODULE = 6.5  # syntax nodes per line of code
NODES_OF_TREE = 5.5
PARALLEL_OF_TREE = 8  # parallel assignments per 1,000 lines of code
BRANCHES = 12  # of a function, after McCabe
FUNCTION_LINES = 60  # without the docstring
MODULE_LINES = 600
INNER_PARAMETERS = 8
COMMENTS = 5  # per 100 lines of code, in a numerical module
COMMENTS_FROM = 40  # lines of code that a module has before comments are asked for
DOC_OF_TREE = 0.5  # docstring lines per line of code

# The rooms whose code is arithmetic: a reader needs reasons, index legends and equations there.
# Modules of estimators, which check, call and store, are left out.
NUMERICAL = {
    "_linalg",
    "discover",
    "dynamics",
    "enforce",
    "equivariant",
    "evidence",
    "groups",
    "libraries",
    "lie_derivative",
    "mirror",
    "promote",
    "solvers",
    "statistics",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Counts:
    """What is counted in one module; each fault is a line for the reader of a failed test."""

    name: str
    lines: int
    code: int
    nodes: int
    docs: int
    comments: int
    most_branches: int
    longest: int
    parallel: tuple[str, ...]
    branched: tuple[str, ...]
    long: tuple[str, ...]
    crowded: tuple[str, ...]
    holds_estimator: bool  # whose class takes more parameters than arithmetic

    @property
    def density(self):
        return self.nodes / max(self.code, 1)

    @property
    def comment_rate(self):
        return 100 * self.comments / max(self.code, 1)

    @property
    def is_numerical(self):
        path = Path(self.name)
        room = path.with_suffix("").parts[0]
        holds_imports = path.name == "__init__.py"
        is_exempt = holds_imports or self.holds_estimator
        return room in NUMERICAL and self.code >= COMMENTS_FROM and not is_exempt

    def __str__(self):
        return (
            f"{self.name:32} {self.lines:5} lines, {self.code:4} of code, "
            f"{self.density:5.2f} nodes/line, {self.comment_rate:4.1f} comments/100, "
            f"{self.docs / max(self.code, 1):4.2f} doc/code, {len(self.parallel):2} parallel, "
            f"at most {self.most_branches:2} branches and {self.longest:2} lines a function"
        )


def counts_of(name, source, public=()):
    """Count in the source of a module; the functions named in `public` are not inner ones."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, Function)]
    doc_lines = docstring_lines(nodes)
    lines = source.splitlines()
    code = [
        number
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#") and number not in doc_lines
    ]
    exported = {id(node) for node in tree.body if getattr(node, "name", None) in public}

    def report(node, value):
        return f"{name}:{node.lineno} {value}"

    return Counts(
        name=name,
        holds_estimator=any(f.name == "fit" for f in functions),
        lines=len(lines),
        code=len(code),
        nodes=sum(isinstance(node, ast.expr | ast.stmt) for node in nodes),
        docs=len(doc_lines),
        comments=n_comments(source),
        most_branches=max(map(branches, functions), default=0),
        longest=max(map(body_lines, functions), default=0),
        parallel=tuple(report(n, ast.unparse(n)) for n in nodes if is_parallel(n)),
        branched=tuple(
            report(f, f"{f.name}: {branches(f)} branches")
            for f in functions
            if branches(f) > BRANCHES
        ),
        long=tuple(
            report(f, f"{f.name}: {body_lines(f)} lines")
            for f in functions
            if body_lines(f) > FUNCTION_LINES
        ),
        crowded=tuple(
            report(f, f"{f.name}: {n_parameters(f)} parameters")
            for f in functions
            if n_parameters(f) > INNER_PARAMETERS and f.name != "__init__" and id(f) not in exported
        ),
    )


def docstring_lines(nodes):
    """Numbers of the lines that are docstrings."""
    documented = [
        node
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | Function)
        and ast.get_docstring(node) is not None
    ]
    return {
        number
        for node in documented
        for number in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }


def n_comments(source):
    """How many lines carry a comment that is neither a ruler nor an instruction to a tool."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return sum("---" not in text and "noqa" not in text for text in comments)


def is_parallel(node):
    """Whether several values are assigned to several names at once, and it is no swap.

    In a swap, or a step such as ``a, b = b, a + b``, each value needs the old ones.
    """
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    targets = [target for target in node.targets if isinstance(target, ast.Tuple | ast.List)]
    assigned = {ast.unparse(element) for target in targets for element in target.elts}
    needed = {
        ast.unparse(inner)
        for value in node.value.elts
        for inner in ast.walk(value)
        if isinstance(inner, ast.expr)
    }
    return bool(targets) and not assigned & needed


def branches(function):
    """McCabe's number: one more than the decisions, those in expressions and closures too."""
    kinds = Counter(type(node) for node in ast.walk(function))
    decisions = (
        ast.If,
        ast.IfExp,
        ast.For,
        ast.While,
        ast.ExceptHandler,
        ast.comprehension,
        ast.Assert,
        ast.match_case,
    )
    operands = [node for node in ast.walk(function) if isinstance(node, ast.BoolOp)]
    return 1 + sum(kinds[kind] for kind in decisions) + sum(len(n.values) - 1 for n in operands)


def body_lines(function):
    """Lines of a function's body without its docstring."""
    has_doc = ast.get_docstring(function) is not None
    body = function.body[has_doc:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def n_parameters(function):
    """How many parameters a function takes besides `self` and `cls`."""
    inner = [node for node in ast.walk(function.args) if isinstance(node, ast.arg)]
    return sum(node.arg not in ("self", "cls") for node in inner)


# -------------------------------------------------------------------------------- the package

MODULES = [
    counts_of(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"), sksym.__all__)
    for path in sorted(PACKAGE.rglob("*.py"))
]
N_CODE = sum(counts.code for counts in MODULES)
every_module = pytest.mark.parametrize("counts", MODULES, ids=lambda counts: counts.name)


def table(modules=MODULES):
    """The counts of all modules, those with the most nodes in a line first."""
    ordered = sorted(modules, key=lambda counts: -counts.density)
    return "\n".join(str(counts) for counts in ordered)


def tree_summary():
    nodes = sum(counts.nodes for counts in MODULES)
    docs = sum(counts.docs for counts in MODULES)
    parallel = sum(len(counts.parallel) for counts in MODULES)
    return (
        f"{len(MODULES)} modules, {N_CODE} lines of code: {nodes / N_CODE:.2f} nodes/line, "
        f"{docs / N_CODE:.2f} doc/code, {1000 * parallel / N_CODE:.1f} parallel/1000"
    )


def test_table_of_all_modules():
    print(f"\n{table()}\n{tree_summary()}")
    assert len({counts.name for counts in MODULES}) == len(MODULES) > 0


@every_module
def test_a_line_holds_few_nodes(counts):
    assert counts.density <= NODES_OF_MODULE, f"one statement a line, names for terms: {counts}"


def test_lines_of_the_tree_hold_few_nodes():
    nodes = sum(counts.nodes for counts in MODULES)
    assert nodes <= NODES_OF_TREE * N_CODE, f"{tree_summary()}\n{table()}"


def test_parallel_assignments_are_few():
    """Swaps are not counted; what remains is for two things of one kind, and rare."""
    lines = [line for counts in MODULES for line in counts.parallel]
    listed = "\n".join(lines)
    assert 1000 * len(lines) <= PARALLEL_OF_TREE * N_CODE, f"{tree_summary()}\n{listed}"


@every_module
def test_functions_branch_little(counts):
    assert not counts.branched, f"more than {BRANCHES}: {counts.branched}"


@every_module
def test_modules_and_functions_stay_short(counts):
    assert counts.lines <= MODULE_LINES, f"make it a package with the same import path: {counts}"
    assert not counts.long, f"name their parts: {counts.long}"


@every_module
def test_inner_functions_take_few_parameters(counts):
    """Public functions and constructors of estimators may take more."""
    assert not counts.crowded, f"pass an object instead: {counts.crowded}"


@every_module
def test_numerical_modules_say_why(counts):
    if counts.is_numerical:
        assert counts.comment_rate >= COMMENTS, f"reasons, index legends, equations: {counts}"


def test_tree_is_documented():
    docs = sum(counts.docs for counts in MODULES)
    assert docs >= DOC_OF_TREE * N_CODE, tree_summary()


# ---------------------------------------------------------------------------------- the rules

AIRY = '''"""A module."""

import numpy as np


def projected(rows, basis):
    """Project rows (n, d) onto an orthonormal basis (k, d)."""
    # n samples, k directions
    components = rows @ basis.T
    rows, basis = basis, rows
    return components @ basis


def swept(rows, shape):
    """Sweep."""
    n, d = shape
    return rows[:n, :d]
'''


def test_rule_passes_what_reads_easily():
    counts = counts_of("solvers/airy.py", AIRY)
    assert counts.density <= 6.5
    assert (counts.lines, counts.code, counts.docs, counts.comments) == (17, 8, 3, 1)
    assert counts.nodes == sum(
        isinstance(node, ast.expr | ast.stmt) for node in ast.walk(ast.parse(AIRY))
    )
    assert not counts.parallel + counts.branched + counts.long + counts.crowded


def test_rule_counts_nodes_by_line():
    # Assign, x, BinOp, 1, 2
    assert counts_of("m.py", "x = 1 + 2\n").density == 5
    assert counts_of("m.py", "# why\n\nx = (\n    1 + 2\n)\n").density == 5 / 3
    packed = "y = sum(a * b - c[0] for a, b in zip(d, e)) if f else g(h, i + j)\n"
    assert counts_of("m.py", packed).density > NODES_OF_MODULE


def test_rule_sees_parallel_assignments():
    source = "a, b = f(x), g(y)\nself.u, self.v = 0, 1\n[c, d] = 1, 2\ni = j, k = 1, 2\n"
    assert len(counts_of("m.py", source).parallel) == 4
    source = "a, b = b, a\nx[0], x[1] = x[1], x[0]\nu, v = v, u + v\nc, d = f(x)\ne = 1, 2\n"
    assert not counts_of("m.py", source).parallel


def test_rule_sees_branches():
    decisions = "    if a and b:\n        pass\n"  # two each
    source = f"def f(a, b):\n{decisions * 5}    return [x for x in a]\n"
    assert not counts_of("m.py", source).branched
    source = f"def f(a, b):\n{decisions * 5}    return [x if x else b for x in a]\n"
    assert counts_of("m.py", source).branched == ("m.py:1 f: 13 branches",)


def test_rule_sees_long_functions():
    body = "    x = 1\n" * 60
    assert not counts_of("m.py", f'def f():\n    """Do.\n\n    Much.\n    """\n{body}').long
    assert counts_of("m.py", f"def f():\n    y = 1\n{body}").long == ("m.py:1 f: 61 lines",)


def test_rule_sees_many_parameters():
    names = ", ".join("abcdefgh")
    assert not counts_of("m.py", f"class C:\n    def f(self, {names}): ...\n").crowded
    crowded = f"def f({names}, *, i, **rest): ...\n"
    assert counts_of("m.py", crowded).crowded == ("m.py:1 f: 10 parameters",)
    assert not counts_of("m.py", crowded, public=["f"]).crowded
    # A closure with a public name is still an inner function.
    closure = f"def g():\n    def f({names}, i): ...\n"
    assert counts_of("m.py", closure, public=["f"]).crowded
    assert not counts_of("m.py", f"class C:\n    def __init__(self, {names}, i): ...\n").crowded


def test_rule_asks_numerical_modules_for_comments():
    code = "x = 1\n" * 40
    assert counts_of("solvers/admm.py", code).is_numerical
    assert counts_of("lie_derivative.py", code).is_numerical
    assert not counts_of("plotting/canvas.py", code).is_numerical
    assert not counts_of("solvers/__init__.py", code).is_numerical
    assert not counts_of("solvers/admm.py", "x = 1\n" * 39).is_numerical
    commented = '# why\nx = 1  # unit\ny = "# no"\n# ---- part\nz = 1  # noqa: E741\n'
    assert counts_of("m.py", commented).comments == 2

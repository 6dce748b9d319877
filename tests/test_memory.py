"""What does not fit into memory is refused before it is allocated, with numbers and a remedy."""

import tracemalloc

import numpy as np
import pytest

import sksym as sk
from sksym.groups import vector_fields
from sksym.mirror import is_mirror_symmetric

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X[:, 0]
FIVE = sk.tensor(
    sk.vector, sk.tensor(sk.vector, sk.tensor(sk.vector, sk.tensor(sk.vector, sk.vector)))
)
FIVE_TO_THE_LEFT = sk.tensor(
    sk.tensor(sk.tensor(sk.tensor(sk.vector, sk.vector), sk.vector), sk.vector), sk.vector
)
ONE_TURN = sk.so(2).on_columns([0, 1], 12)


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    """Let every machine have the same memory."""
    monkeypatch.setattr("sksym._linalg.machine.available_memory", lambda: 16 * 2**30)


TOO_LARGE = {
    "so": (lambda: sk.so(200), "19,900 generators on R^200", "fewer columns"),
    "se": (lambda: sk.se(200), "19,900 generators on R^200", "fewer columns"),
    "gl": (lambda: sk.gl(200), "40,000 generators on R^200", "fewer columns"),
    "sl": (lambda: sk.sl(200), "39,999 generators on R^200", "fewer columns"),
    "aff": (lambda: sk.aff(200), "40,000 generators on R^200", "fewer columns"),
    "sp": (lambda: sk.sp(200), "20,100 generators on R^200", "fewer columns"),
    "lorentz": (lambda: sk.lorentz(199), "19,900 generators on R^200", "fewer columns"),
    "poincare": (lambda: sk.poincare(199), "19,900 generators on R^200", "fewer columns"),
    "translations": (lambda: sk.translations(2000), "2,000 generators", "fewer columns"),
    "scaling": (lambda: sk.scaling(np.ones((1, 10**5))), "1 generators", "fewer columns"),
    "points": (lambda: sk.so(10).repeat(100_000), "45 generators on R^1000000", "fewer points"),
    "columns": (lambda: sk.so(3).on_columns([0, 1, 2], 10**5), "3 generators", "Leave out columns"),
    "reflections": (lambda: sk.reflections(2000), "2,000 elements on R^2000", "fewer columns"),
    "permutations": (lambda: sk.permutations(10**5), "2 elements on R^100000", "fewer columns"),
    "blocks": (lambda: sk.permutations(2, 10**5), "2 elements on R^200000", "fewer columns"),
    "signed": (lambda: sk.signed_permutations(10**5), "3 elements", "fewer columns"),
    "cyclic": (lambda: sk.cyclic(10**5, 3), "1 elements on R^100000", "fewer columns"),
    "points of a finite group": (
        lambda: sk.reflections(2).repeat(10**6),
        "2 elements on R^2000000",
        "fewer points",
    ),
    "columns of a finite group": (
        lambda: sk.reflections(2).on_columns([0, 1], 10**6),
        "2 elements on R^1000000",
        "Leave out columns",
    ),
    "trivial": (lambda: sk.trivial(10**6)(ONE_TURN), "1,000,000 outputs", "fewer outputs"),
    "sum": (
        lambda: sk.direct_sum(*[sk.trivial(20_000)] * 4)(ONE_TURN),
        "80,000 outputs",
        "fewer outputs",
    ),
    "tensor": (lambda: FIVE(ONE_TURN), "248,832 outputs", "fewer factors"),
    "tensor to the left": (lambda: FIVE_TO_THE_LEFT(ONE_TURN), "248,832 outputs", "fewer factors"),
    "tensor of elements": (lambda: FIVE(sk.cyclic(12, 3)), "248,832 outputs", "fewer factors"),
    "vector fields": (
        lambda: vector_fields(sk.PolynomialLibrary(8).fit(np.eye(8))),
        "102,960 vector fields on 8 features in 12,870 functions",
        "lower degree",
    ),
    "mirror path": (lambda: sk.mirror_path(X, Y, alphas=10**10), "10,000,000,000", "fewer alphas"),
    "mirror CV": (
        lambda: sk.MirrorSparseRegressorCV(alphas=10**10).fit(X, Y),
        "10,000,000,000 alphas for 3 columns",
        "fewer alphas",
    ),
    "promotion": (
        lambda: sk.symmetry_path(X, Y, sk.so(3), alphas=10**10),
        "10,000,000,000 alphas",
        "fewer alphas",
    ),
    "random points": (
        lambda: is_mirror_symmetric(np.sum, [1, 0], [1.0, 2.0], n_points=10**11),
        "100,000,000,000 random points",
        "fewer points",
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_large_things_are_refused_early(name):
    make, numbers, remedy = TOO_LARGE[name]
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError, match="GiB are free") as refusal:
            make()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert numbers in str(refusal.value)
    assert remedy in str(refusal.value)
    assert peak < 2**28


def test_what_fits_is_made():
    assert sk.so(20).dim == 190
    assert sk.tensor(sk.vector, sk.tensor(sk.vector, sk.vector))(sk.so(4)).shape == (6, 64, 64)
    assert sk.tensor(sk.vector, sk.vector)(sk.LieAlgebra(np.zeros((0, 3, 3)))).shape == (0, 9, 9)
    assert vector_fields(sk.PolynomialLibrary(2).fit(X)).dim == 30
    assert len(sk.mirror_path(X, Y, alphas=7).alphas) == 7


@pytest.mark.parametrize(
    "make", [lambda: sk.so(30), lambda: sk.sp(30), lambda: sk.so(5).repeat(12)], ids=range(3)
)
def test_estimates_cover_what_is_taken(make, monkeypatch):
    """The peak while a symmetry is made is below what was asked for."""
    asked = []
    for room in ("catalogue", "lie_algebra"):
        monkeypatch.setattr(
            f"sksym.groups.{room}.require_memory", lambda n_bytes, *_: asked.append(n_bytes)
        )
    tracemalloc.start()
    make()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * max(asked) + 2**20

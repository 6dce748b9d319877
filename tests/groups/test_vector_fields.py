"""Vector fields beyond affine motions, whose components lie in a library."""

import copy
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from sksym import FourierLibrary, PolynomialLibrary, VectorFields, aff, from_transformer
from sksym import vector_fields as all_fields
from sksym.groups import resolve

FIELD_LIBRARIES = [
    PolynomialLibrary(2, center=0.0, scale=1.0),
    PolynomialLibrary(3, center=1.0, scale=2.0),
    FourierLibrary(1),
    from_transformer(FunctionTransformer(np.tanh)),
]
field_libraries = pytest.mark.parametrize("library", FIELD_LIBRARIES, ids=repr)


@field_libraries
def test_vector_fields_of_a_library(library, rng):
    X = rng.normal(size=(6, 2))
    library = clone(library).fit(X)
    p, fields = library.n_output_features_, all_fields(library)
    assert (fields.dim, fields.n_features, len(fields.names)) == (2 * p, 2, 2 * p)
    values, phi = fields.vector_field(X), library.transform(X)
    if isinstance(library, PolynomialLibrary):  # plain monomials
        powers = library.monomials_.exponents
        phi = np.prod(X[:, None] ** powers, axis=2)
    assert_allclose(values, np.einsum("ij,nk->njki", np.eye(2), phi).reshape(6, 2 * p, 2))
    C = rng.normal(size=(3, 2 * p))
    some = fields.combine(C)
    assert_allclose(some.vector_field(X), np.einsum("ka,nai->nki", C, values), atol=1e-12)
    slopes = some.jacobian(X)
    assert slopes.shape == (6, 3, 2, 2)
    for j, e in enumerate(1e-6 * np.eye(2)):
        difference = (some.vector_field(X + e) - some.vector_field(X - e)) / 2e-6
        assert_allclose(slopes[..., j], difference, atol=1e-7)


def test_linear_fields_are_those_of_the_affine_algebra(rng):
    X = rng.normal(size=(6, 2))
    fields = all_fields(PolynomialLibrary(1, center=0.0, scale=1.0).fit(X))
    # Component by component: 1, x0, x1 along the first axis, then along the second.
    order = [4, 0, 1, 5, 2, 3]
    assert_allclose(fields.vector_field(X), aff(2).vector_field(X)[:, order])


def test_vector_fields_are_frozen_values(rng):
    fields = all_fields(PolynomialLibrary(2, center=0.0, scale=1.0).fit(rng.normal(size=(6, 2))))
    assert copy.deepcopy(fields) is fields
    for name in ("library", "coef", "names"):
        with pytest.raises(FrozenInstanceError):
            setattr(fields, name, None)
    copied, X = pickle.loads(pickle.dumps(fields)), rng.normal(size=(3, 2))
    assert_array_equal(copied.vector_field(X), fields.vector_field(X))
    with pytest.raises(ValueError, match="read-only"):
        fields.coef[...] = 1


def test_vector_fields_read_well(rng):
    fields = all_fields(PolynomialLibrary(2, center=0.0, scale=1.0).fit(rng.normal(size=(6, 2))))
    # 1, x0, x1, x0^2, x0 x1, x1^2
    turn = fields.combine([[0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0]])
    assert turn.names == ("-x1 ∂0 + x0 ∂1",)
    assert repr(turn) == "VectorFields(dim=1, n_features=2: -x1 ∂0 + x0 ∂1)"
    assert repr(fields).endswith(", ...)")
    assert VectorFields(fields.library, turn.coef, ["turn"]).names == ("turn",)


@pytest.mark.parametrize(
    ("coef", "names", "message"),
    [
        (np.zeros((2, 2)), None, "shape"),
        (np.zeros((1, 2, 5)), None, "shape"),
        (np.zeros((1, 3, 6)), None, "shape"),
        (np.full((1, 2, 6), np.nan), None, "NaN"),
        (np.zeros((2, 2, 6)), ["a"], "1 names"),
    ],
)
def test_wrong_fields_are_refused(coef, names, message, rng):
    library = PolynomialLibrary(2).fit(rng.normal(size=(6, 2)))
    with pytest.raises(ValueError, match=message):
        VectorFields(library, coef, names)


def test_fields_cannot_be_combined_by_wrong_coordinates(rng):
    fields = all_fields(PolynomialLibrary(2).fit(rng.normal(size=(6, 2))))
    with pytest.raises(ValueError, match="must have shape"):
        fields.combine(np.eye(3))


def test_fields_of_a_library_that_is_not_fitted_are_fitted_to_the_data(rng):
    X = rng.normal(size=(6, 2))
    library = PolynomialLibrary(2)
    waiting = all_fields(library)
    with pytest.raises(NotFittedError):
        check_is_fitted(library)
    expected = all_fields(clone(library).fit(X)).vector_field(X)
    for symmetry in (waiting, lambda d: waiting):
        fields = resolve(symmetry, X).algebra
        assert_array_equal(fields.vector_field(X), expected)
    with pytest.raises(NotFittedError):
        check_is_fitted(library)


def test_pickled_fields_stay_read_only(rng):
    fields = all_fields(PolynomialLibrary(1).fit(rng.normal(size=(6, 2))))
    assert not pickle.loads(pickle.dumps(fields)).coef.flags.writeable

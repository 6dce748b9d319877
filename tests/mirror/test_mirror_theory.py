"""Each statement about mirrors on losses that have them, on losses that do not, and in training."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.linear_model import Lasso

from sksym.mirror.theory import (
    decay_threshold,
    is_mirror_symmetric,
    mirror_hessian_blocks,
    noise_exponents,
    orthonormal_columns,
)

DATA = np.random.default_rng(0)
X = DATA.normal(size=(40, 3))
Y = DATA.normal(size=(40, 2))
TARGET = DATA.normal(size=(4, 3))


def product(w, decay=(0, 0)):
    """Regression on the elementwise product of u and v."""
    u, v = w.reshape(2, 3)
    return np.mean((Y[:, 0] - X @ (u * v)) ** 2) + decay[0] * u @ u + decay[1] * v @ v


def scalar_times_vector(w):
    return np.mean((Y[:, 0] - X @ (w[0] * w[1:])) ** 2)


def network(w, outputs=(1, 1), decay=0):
    """Two tanh units, (2, 4): weights and bias of each."""
    hidden = np.tanh(X @ w.reshape(2, 4)[:, :3].T + w.reshape(2, 4)[:, 3])
    return np.mean((Y[:, 0] - hidden @ np.array(outputs)) ** 2) + decay * w @ w


def factors(w, metric=(1, 1), offset=0.0):
    """``|U V^T - TARGET|^2`` with two columns each: invariant under rotation of the columns."""
    w = w + offset
    U, V = w[:8].reshape(4, 2), w[8:].reshape(3, 2)
    return np.sum((U * np.array(metric) @ V.T - TARGET) ** 2)


def unit(i, p):
    return np.eye(p)[i]


NORMAL = np.array([0.6, 0.8])  # of the mirror in the plane of the two columns
OTHER = np.sqrt(np.arange(1.0, 15.0))  # a fixed offset of all 14 factors
EXCHANGE = np.kron([[1], [-1]], np.eye(4))  # of the two hidden units
SYMMETRIC = {
    "sign of a pair": (product, np.column_stack([unit(1, 6), unit(4, 6)])),
    "exchange of a pair": (product, unit(1, 6) - unit(4, 6)),
    "the other diagonal": (product, unit(1, 6) + unit(4, 6)),
    "sign under uneven decay": (
        lambda w: product(w, decay=(1, 3)),
        np.column_stack([unit(0, 6), unit(3, 6)]),
    ),
    "scalar times vector": (scalar_times_vector, np.eye(4)),
    "exchange of units": (network, EXCHANGE),
    "rotation of factors": (factors, np.kron(np.eye(7), NORMAL[:, None])),
}
BROKEN = {
    "sign of one factor": (product, unit(1, 6)),
    "exchange under uneven decay": (lambda w: product(w, decay=(1, 3)), unit(1, 6) - unit(4, 6)),
    "units of unequal outputs": (lambda w: network(w, outputs=(1, 1.01)), EXCHANGE),
    "one weight of the units": (network, EXCHANGE[:, :1]),
    "factors in a metric": (
        lambda w: factors(w, metric=(1, 2)),
        np.kron(np.eye(7), NORMAL[:, None]),
    ),
    "symmetry removed": (
        lambda w: factors(w, offset=OTHER),
        np.kron(np.eye(7), NORMAL[:, None]),
    ),
}


def point_on(mirror, seed=0):
    """A random point, and its projection to the mirror."""
    Q = orthonormal_columns(mirror)
    w = np.random.default_rng(seed).normal(size=len(Q))
    return w, w - Q @ (Q.T @ w)


def gradient(loss, w, step=1e-5):
    e = step * np.eye(len(w))
    return np.array([(loss(w + d) - loss(w - d)) / (2 * step) for d in e])


def hessian(loss, w, step=1e-4):
    e = step * np.eye(len(w))
    return np.array([gradient(loss, w + d, step) - gradient(loss, w - d, step) for d in e]) / (
        2 * step
    )


@pytest.mark.parametrize(("loss", "mirror"), SYMMETRIC.values(), ids=SYMMETRIC)
def test_symmetry_is_seen(loss, mirror):
    w, on_mirror = point_on(mirror)
    assert is_mirror_symmetric(loss, mirror, w, random_state=0) is True
    assert is_mirror_symmetric(loss, mirror, on_mirror, random_state=0)
    assert is_mirror_symmetric(loss, mirror, np.stack([w, 0 * w, 100 * w]), random_state=0)
    assert is_mirror_symmetric(lambda w: loss(w) + 1e6, mirror, w, random_state=0)


@pytest.mark.parametrize(("loss", "mirror"), BROKEN.values(), ids=BROKEN)
def test_broken_symmetry_is_seen(loss, mirror):
    w, on_mirror = point_on(mirror)
    assert is_mirror_symmetric(loss, mirror, w, random_state=0) is False
    assert not is_mirror_symmetric(loss, mirror, on_mirror, random_state=0)
    assert not is_mirror_symmetric(loss, mirror, 0 * w, random_state=0)
    assert not is_mirror_symmetric(loss, mirror, w, n_points=0)
    # On the mirror itself there is nothing to compare.
    assert is_mirror_symmetric(loss, mirror, on_mirror, n_points=0)
    assert not is_mirror_symmetric(lambda w: loss(w) + 1e6, mirror, w, random_state=0)


def test_a_small_break_is_seen_or_allowed():
    def loss(w):
        return w @ w + 1e-5 * w[0]

    assert not is_mirror_symmetric(loss, [1, 0], [1, 1], random_state=0)
    assert is_mirror_symmetric(loss, [1, 0], [1, 1], rtol=1e-3, random_state=0)


def test_loss_in_single_precision():
    def loss(w):
        return np.float32(product(w)) + np.float32(100)

    assert is_mirror_symmetric(loss, unit(1, 6) - unit(4, 6), np.ones(6), random_state=0)
    assert not is_mirror_symmetric(loss, unit(1, 6), np.ones(6), random_state=0)


def test_constant_and_integer_losses_are_symmetric_or_not():
    assert is_mirror_symmetric(lambda w: 7, [1, 0], [1, 1])
    assert is_mirror_symmetric(lambda w: 0.0, [1, 0], [1, 1])
    assert not is_mirror_symmetric(lambda w: int(w[0] > 0), [1, 0], [1, 1])


def test_a_loss_may_write_into_its_argument():
    def loss(w):
        w *= w
        return w.sum()

    w = np.array([1.0, 2.0])
    assert is_mirror_symmetric(loss, [1, 0], w, random_state=0)
    assert list(w) == [1, 2]


def test_random_points_are_those_of_the_seed():
    seen = []

    def loss(w):
        seen.append(w)
        return 0

    for _ in range(2):
        is_mirror_symmetric(loss, [1, 0], [[1, 1], [2, 2]], n_points=3, random_state=5)
    first, second = np.array(seen).reshape(2, 16, 2)
    assert_allclose(first, second)
    assert_allclose(np.abs(first[:8]), np.abs(first[8:]))


@pytest.mark.parametrize(("loss", "mirror"), SYMMETRIC.values(), ids=SYMMETRIC)
def test_on_the_mirror_nothing_couples(loss, mirror):
    _, w = point_on(mirror)
    Q, slope, H = orthonormal_columns(mirror), gradient(loss, w), hessian(loss, w)
    size = np.linalg.norm(H, 2)
    assert_allclose(Q.T @ slope, 0, atol=1e-7 * (1 + np.abs(slope).max()))
    blocks = mirror_hessian_blocks(H, mirror)
    assert blocks.coupling < 1e-5 * size
    apart = [np.linalg.eigvalsh(b) for b in (blocks.along, blocks.across) if b.size]
    assert_allclose(np.sort(np.concatenate(apart)), np.linalg.eigvalsh(H), atol=1e-5 * size)


@pytest.mark.parametrize("name", BROKEN)
def test_without_symmetry_they_couple(name):
    loss, mirror = BROKEN[name]
    _, w = point_on(mirror)
    H = hessian(loss, w)
    assert mirror_hessian_blocks(H, mirror).coupling > 1e-3 * np.linalg.norm(H, 2)


def test_off_the_mirror_they_couple():
    w, _ = point_on(EXCHANGE)
    H = hessian(network, w)
    assert mirror_hessian_blocks(H, EXCHANGE).coupling > 1e-2 * np.linalg.norm(H, 2)


def test_blocks_are_the_whole_hessian(rng):
    H = rng.normal(size=(5, 5))
    H = H + H.T
    blocks = mirror_hessian_blocks(H, rng.normal(size=(5, 2)))
    basis = np.hstack([blocks.O, blocks.complement])
    assert_allclose(basis.T @ basis, np.eye(5), atol=1e-12)
    assert (blocks.along.shape, blocks.across.shape) == ((2, 2), (3, 3))
    assert_allclose(blocks.along, blocks.O.T @ H @ blocks.O)
    assert_allclose(blocks.across, blocks.complement.T @ H @ blocks.complement)
    between = blocks.O.T @ H @ blocks.complement
    assert_allclose(blocks.coupling, np.linalg.svd(between)[1].max())
    total = sum(np.sum(b**2) for b in (blocks.along, blocks.across)) + 2 * np.sum(between**2)
    assert_allclose(total, np.sum(H**2))


def test_a_mirror_of_all_parameters_has_nothing_across():
    blocks = mirror_hessian_blocks(np.diag([1.0, -2.0]), np.eye(2))
    assert blocks.across.shape == (0, 0)
    assert blocks.coupling == 0.0
    assert_allclose(blocks.along, np.diag([1, -2]))


def test_basis_spans_the_columns_and_keeps_those_that_are_orthonormal(rng):
    A = rng.normal(size=(6, 3))
    Q = orthonormal_columns(A)
    assert_allclose(Q.T @ Q, np.eye(3), atol=1e-12)
    assert_allclose(Q @ (Q.T @ A), A, atol=1e-12)
    assert np.all(np.sum(Q * A, axis=0) > 0)
    assert_allclose(orthonormal_columns(Q), Q, atol=1e-15)
    assert_allclose(orthonormal_columns(A * [1e-200, 1, 1e200]), Q, atol=1e-12)
    dependent = np.column_stack([A, A[:, 0] - 2 * A[:, 1]])
    R = orthonormal_columns(dependent)
    assert_allclose(R @ R.T, Q @ Q.T, atol=1e-9)
    assert_allclose(orthonormal_columns([3, 4]), [[0.6], [0.8]])


def correlated(seed=0, n=60, p=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=(n, 1))
    return X, X @ rng.normal(size=p) + rng.normal(size=n)


@pytest.mark.parametrize("j", range(6))
def test_threshold_of_one_coefficient_is_where_lasso_drops_it(j):
    """The other coefficients have a penalty of their own: it belongs to the data loss."""
    X, y = correlated()
    alpha, options = 0.3, {"fit_intercept": False, "tol": 1e-14, "max_iter": 100_000}
    others = np.delete(np.arange(6), j)
    held = Lasso(alpha, **options).fit(X[:, others], y)
    slope = np.zeros(6)
    slope[j] = X[:, j] @ (held.predict(X[:, others]) - y) / len(y)
    threshold = decay_threshold(slope, unit(j, 6))

    def solution(decay):
        weights = np.where(np.arange(6) == j, decay / alpha, 1.0)
        return Lasso(alpha, **options).fit(X / weights, y).coef_

    assert solution(1.001 * threshold)[j] == 0
    assert_allclose(solution(1.001 * threshold)[others], held.coef_, atol=1e-9)
    assert abs(solution(0.999 * threshold)[j]) > 1e-7


def penalised(X, Y, mirror, decay, n_iter=4000):
    """Minimiser of ``|Y - X W|^2 / (2n) + decay ||O^T W||_F`` by accelerated proximal gradient."""
    step = len(X) / np.linalg.norm(X, 2) ** 2
    W = previous = np.zeros((X.shape[1], Y.shape[1]))
    for t in range(n_iter):
        point = W + t / (t + 3) * (W - previous)
        V = point - step / len(X) * X.T @ (X @ point - Y)
        z = mirror.T @ V
        shrunk = z * max(0.0, 1 - step * decay / np.linalg.norm(z))
        previous, W = W, V + mirror @ (shrunk - z)
    return W


@pytest.mark.parametrize("q", [1, 2])
def test_threshold_of_a_group_is_where_it_vanishes(q, rng):
    X, y = correlated()
    Y = np.column_stack([y, rng.normal(size=len(y)) + X[:, 1]])[:, :q]
    mirror = orthonormal_columns(rng.normal(size=(6, 2)))
    C = np.linalg.qr(mirror, mode="complete")[0][:, 2:]
    on_mirror = C @ np.linalg.lstsq(X @ C, Y, rcond=None)[0]
    slope = X.T @ (X @ on_mirror - Y) / len(X)
    assert_allclose(C.T @ slope, 0, atol=1e-10)
    if q == 1:
        threshold = decay_threshold(slope[:, 0], mirror)
    else:
        threshold = decay_threshold(slope.T.ravel(), np.kron(np.eye(q), mirror))
    above, below = (penalised(X, Y, mirror, f * threshold) for f in (1.001, 0.999))
    assert_allclose(above, on_mirror, atol=1e-8)
    assert np.linalg.norm(mirror.T @ above) < 1e-12
    assert np.linalg.norm(mirror.T @ below) > 1e-5


def test_both_thresholds_are_one_where_both_apply():
    slope = gradient(lambda w: np.mean((Y[:, 0] - X @ w) ** 2), np.zeros(3))
    whole = decay_threshold(hessian(scalar_times_vector, np.zeros(4)), np.eye(4))
    assert_allclose(whole, decay_threshold(slope, np.eye(3)), rtol=1e-5)
    H = hessian(product, np.zeros(6))
    for j in range(3):
        pair = np.column_stack([unit(j, 6), unit(j + 3, 6)])
        assert_allclose(decay_threshold(H, pair), abs(slope[j]), rtol=1e-5)
        each = [decay_threshold(H, pair @ d) for d in ([1, 1], [1, -1])]
        assert_allclose(sorted(each), [0, abs(slope[j])], rtol=1e-5)


def descend(loss, w, decay, rate, n_steps):
    """Gradient descent with coupled weight decay."""
    for _ in range(n_steps):
        w = w - rate * (gradient(loss, w) + decay * w)
    return w


def test_decay_collapses_a_factorisation_above_its_threshold_only():
    """At zero the threshold is the largest singular value: the rank goes when the last one does."""

    def loss(w):
        return factors(w) / 2

    threshold = decay_threshold(hessian(loss, np.zeros(14)), np.eye(14))
    assert_allclose(threshold, np.linalg.norm(TARGET, 2), rtol=1e-5)
    start = 0.1 * np.random.default_rng(0).normal(size=14)
    above, below = (descend(loss, start, f * threshold, 0.1, 400) for f in (1.1, 0.9))
    assert np.linalg.norm(above) < 1e-2 * np.linalg.norm(start)
    product = below[:8].reshape(4, 2) @ below[8:].reshape(3, 2).T
    assert_allclose(np.linalg.norm(product, 2), 0.1 * threshold, rtol=1e-3)


def test_units_of_a_network_become_equal_above_the_threshold_only():
    """On the mirror all is as good as it can be; a small step off it, and decay decides."""
    mirror = orthonormal_columns(EXCHANGE)
    C = np.linalg.qr(mirror, mode="complete")[0][:, 4:]
    rng = np.random.default_rng(0)
    start, off = rng.normal(size=4), mirror @ rng.normal(size=4)
    collapsed = []
    for decay in (0.01, 0.5):

        def trained(z, decay=decay):
            return network(C @ z, decay=decay / 2)

        on_mirror = C @ minimize(trained, start, tol=1e-10, method="BFGS", options={"gtol": 1e-8}).x
        threshold = decay_threshold(hessian(network, on_mirror), EXCHANGE)
        stays = descend(network, on_mirror, decay, 0.2, 10)
        assert np.linalg.norm(mirror.T @ stays) < 1e-9
        moved = descend(network, on_mirror + 1e-2 * off, decay, 0.2, 400)
        shrinks = np.linalg.norm(mirror.T @ moved) < 1e-2 * np.linalg.norm(off)
        assert shrinks == (decay > threshold)
        collapsed.append(shrinks)
    assert collapsed == [False, True]


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_exponents_are_the_rates_of_sgd(decay):
    h = np.random.default_rng(0).normal(size=(100, 2))
    rate = 0.4
    u, v = np.array([[0.3, -0.1], [0.2, 0.5]])
    start = np.log(np.abs([u + v, u - v]))
    for one in h:
        u, v = u - rate * (decay * u + one * v), v - rate * (decay * v + one * u)
    end = np.log(np.abs([u + v, u - v]))
    exponents = noise_exponents(h, rate, decay)
    assert_allclose(exponents, (end - start) / len(h), rtol=1e-6, atol=1e-9)
    assert_allclose(exponents[:, 1], noise_exponents(h[:, 1], rate, decay))
    assert_allclose(exponents[::-1], noise_exponents(-h, rate, decay))


def test_noise_alone_collapses_a_pair():
    """Data that ask for u v = 0.2 with noise ten times as large, and no weight decay."""
    rng = np.random.default_rng(0)
    y = 0.2 + 2 * rng.choice([-1, 1], size=3000)
    collapsed = []
    for rate in (0.02, 0.3):
        u, v = 0.02, 0.01
        for target in y:
            residual = target - u * v
            u, v = u + rate * residual * v, v + rate * residual * u
        plus, minus = noise_exponents(-y, rate)
        assert minus < 0
        assert (max(abs(u), abs(v)) < 1e-20) == (plus < 0)
        collapsed.append(plus < 0)
    assert collapsed == [False, True]


def test_noise_threshold_to_second_order():
    h = np.array([-1.01, 0.99])
    critical = 2 * abs(h.mean()) / np.mean(h**2)
    assert noise_exponents(h, 0.9 * critical)[0] > 0 > noise_exponents(h, 1.1 * critical).max()


def test_a_step_to_zero_has_exponent_minus_infinity():
    assert noise_exponents([1.0, -0.5], 1.0)[0] == -np.inf


BAD_MIRRORS = [
    (np.ones((3, 0)), "must have shape"),
    (np.ones((3, 1, 1)), "must have shape"),
    (1.0, "must have shape"),
    ([], "must have shape"),
    ([[1, 0], [0, 0], [0, 0]], r"columns of zeros, got some at \[1\]"),
    ([1, np.nan, 0], "The mirror O must be finite"),
    ([[np.inf], [0], [0]], "The mirror O must be finite"),
]


@pytest.mark.parametrize(("mirror", "message"), BAD_MIRRORS)
def test_bad_mirrors(mirror, message):
    for call in (
        lambda: is_mirror_symmetric(np.sum, mirror, np.ones(3)),
        lambda: mirror_hessian_blocks(np.eye(3), mirror),
        lambda: decay_threshold(np.ones(3), mirror),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_wrong_number_of_rows():
    mirror = [1, 0]
    with pytest.raises(ValueError, match=r"has 2 rows, so `w` must have shape \(2,\)"):
        is_mirror_symmetric(np.sum, mirror, np.ones(3))
    with pytest.raises(ValueError, match=r"must have shape \(2, 2\), got \(3, 3\)"):
        mirror_hessian_blocks(np.eye(3), mirror)
    with pytest.raises(ValueError, match=r"must have shape \(2, 2\), got \(2, 1\)"):
        decay_threshold(np.ones((2, 1)), mirror)
    for wrong in (np.ones(3), np.ones((2, 2, 2)), 1.0):
        with pytest.raises(ValueError, match=r"a gradient of shape \(2,\) or a Hessian"):
            decay_threshold(wrong, mirror)


def test_bad_derivatives():
    with pytest.raises(ValueError, match="`hessian` must be finite"):
        mirror_hessian_blocks([[np.nan, 0], [0, 1]], [1, 0])
    with pytest.raises(ValueError, match="A Hessian is symmetric"):
        decay_threshold([[1, 2], [0, 1]], [1, 0])
    with pytest.raises(ValueError, match="`gradient_or_hessian` must be finite"):
        decay_threshold([np.inf, 0], [1, 0])


def test_bad_losses_and_points():
    with pytest.raises(ValueError, match=r"return one number, got an array of shape \(2,\)"):
        is_mirror_symmetric(lambda w: w, [1, 0], [1, 1])
    with pytest.raises(ValueError, match="The loss is nan at a point"):
        is_mirror_symmetric(lambda w: np.nan, [1, 0], [1, 1])
    with pytest.raises(ValueError, match="`w` must be finite"):
        is_mirror_symmetric(np.sum, [1, 0], [1, np.nan])
    for wrong in (np.ones((0, 2)), np.ones((1, 1, 2))):
        with pytest.raises(ValueError, match="`w` must have shape"):
            is_mirror_symmetric(np.sum, [1, 0], wrong)
    for n_points in (-1, 1.5):
        with pytest.raises(ValueError, match="`n_points` must be"):
            is_mirror_symmetric(np.sum, [1, 0], [1, 1], n_points=n_points)


def test_bad_steps():
    for wrong in ([], np.ones((0, 2)), np.ones((1, 1, 1)), 1.0):
        with pytest.raises(ValueError, match="`curvatures` must have shape"):
            noise_exponents(wrong, 0.1)
    with pytest.raises(ValueError, match="`curvatures` must be finite"):
        noise_exponents([np.nan], 0.1)
    for rate in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="`learning_rate` must be"):
            noise_exponents([1.0], rate)
    for decay in (-0.1, np.nan):
        with pytest.raises(ValueError, match="`decay` must be"):
            noise_exponents([1.0], 0.1, decay)

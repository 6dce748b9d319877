"""Effects of a mirror of the parameters on training, for any loss given as a function.

A loss ``l(w)`` has the mirror O when it is unchanged by the reflection ``w -> (I - 2 O O^T) w``;
the mirror is the subspace ``O^T w = 0`` that the reflection leaves in place. Ziyin, *Symmetry
induces structure and constraint of learning* (ICML 2024), proves that training is driven onto it
once weight decay or gradient noise is large enough. The functions below check each premise and
compute each threshold: :func:`is_mirror_symmetric`, :func:`mirror_hessian_blocks`,
:func:`decay_threshold` and :func:`noise_exponents`.

Sizes: p parameters, k columns of O. Several arrays of parameters are passed as one flat vector.
"""

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sksym._estimator import check_count, check_number
from sksym._linalg import require_memory

_ORTHONORMAL = 1e-12  # columns that are orthogonal up to round-off are only scaled
_DEPENDENT = 1e-10  # singular values of the unit columns below which O has no direction
_SYMMETRIC = 1e-2  # what finite differences in single precision leave of a Hessian's symmetry
_ROUND_OFF = 1e3  # a loss is a sum of many terms


def is_mirror_symmetric(loss, O, w, *, rtol=1e-8, n_points=8, random_state=None):
    """Return whether ``loss((I - 2 O O^T) w) = loss(w)``, at `w` and at random points around it.

    A loss with this symmetry has no gradient along O anywhere on the mirror ``O^T w = 0``. Gradient
    descent, with or without momentum and weight decay, never leaves the mirror once it is on it,
    nor does SGD where the loss of every minibatch has the symmetry; :func:`decay_threshold` and
    :func:`noise_exponents` give the conditions under which training is drawn to it (Ziyin 2024).

    A point on the mirror is its own reflection, so it is no evidence: random points are added. The
    answer False is certain up to round-off; True holds for the points that were tried.

    Parameters
    ----------
    loss : callable
        Function of an ndarray of shape (p,) that returns a number, without randomness.
    O : array-like of shape (p,) or (p, k)
        Spans the directions that are reflected. Only their span matters.
    w : array-like of shape (p,) or (m, p)
        One point, or one in every row.
    rtol : float, default=1e-8
        Allowed difference, relative to the variation of the loss over all points. Round-off in the
        precision in which the loss returns its values is allowed as well.
    n_points : int, default=8
        Random points for each row of `w`, normally distributed about it with the root mean square
        of its entries as standard deviation (1 at the origin). With 0 only `w` is tried.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    bool

    Examples
    --------
    The loss depends on u and v through their product only, so exchanging both is a mirror:

    >>> from sksym.mirror import is_mirror_symmetric
    >>> loss = lambda w: (w[0] * w[1] - 3) ** 2
    >>> is_mirror_symmetric(loss, [1, -1], [0.5, 2])
    True
    >>> is_mirror_symmetric(loss, [1, 0], [0.5, 2])
    False
    """
    O = orthonormal_columns(O)
    points = _points(w, O, n_points, random_state)
    components = points @ O
    reflected = points - 2 * components @ O.T
    both = np.concatenate([points, reflected])
    losses = [_loss_at(loss, point) for point in both]
    # The loss may compute in single precision: its values are compared in their own.
    precision = max(np.finfo(value.dtype).eps for value in losses)
    at_points, at_reflected = np.array(losses, dtype=float).reshape(2, -1)
    round_off = _ROUND_OFF * precision * np.abs(losses).max()
    allowed = rtol * np.ptp(losses) + round_off
    difference = np.abs(at_points - at_reflected)
    return bool(np.all(difference <= allowed))


def mirror_hessian_blocks(hessian, O):
    """Split the Hessian at a point on the mirror into a block along O and a block across it.

    Where a loss is unchanged by the reflection ``R = I - 2 O O^T``, its Hessian obeys
    ``H(R w) = R H(w) R``. On the mirror R w = w, so H commutes with R and cannot couple the span of
    O with its complement: the eigenvectors of H are those of two smaller matrices, and the dynamics
    along O, collapse onto the mirror or escape from it, is independent of the rest (Ziyin 2024).

    Parameters
    ----------
    hessian : array-like of shape (p, p)
        Second derivatives at one point, exact or from finite differences; the symmetric part is
        used.
    O : array-like of shape (p,) or (p, k)
        Replaced by an orthonormal basis of its span, unless its columns are orthonormal.

    Returns
    -------
    Bunch
        ``along`` (k, k), ``O^T H O``; ``across`` (p - k, p - k), ``C^T H C``; ``coupling``, the
        spectral norm of ``O^T H C``, to be compared with that of `hessian`: zero at a point on the
        mirror of a symmetric loss; and the bases in which these are written, ``O`` (p, k) and
        ``complement`` C (p, p - k), with orthonormal columns.

    Examples
    --------
    At u = v = 1 the Hessian of (u v - 1)^2 / 2 is flat along the valley of its minima, u v = 1:

    >>> import numpy as np
    >>> from sksym.mirror import mirror_hessian_blocks
    >>> blocks = mirror_hessian_blocks([[1, 1], [1, 1]], [1, -1])
    >>> np.round([blocks.along.item(), blocks.across.item(), blocks.coupling], 12) + 0
    array([0., 2., 0.])
    """
    O = orthonormal_columns(O)
    H = _symmetric(hessian, O)
    k = O.shape[1]
    basis, _ = np.linalg.qr(O, mode="complete")
    complement = basis[:, k:]
    between = O.T @ H @ complement
    coupling = 0.0
    if between.size:
        coupling = float(np.linalg.norm(between, 2))
    return Bunch(
        along=O.T @ H @ O,
        across=complement.T @ H @ complement,
        coupling=coupling,
        O=O,
        complement=complement,
    )


def decay_threshold(gradient_or_hessian, O):
    """Return the least weight decay with which training ends on the mirror ``O^T w = 0``.

    The bound is sharp. It has two forms, chosen by the number of dimensions of the argument.

    * A **gradient** (p,) of a convex data loss f at w0, its minimiser on the mirror. Then w0
      minimises ``f(w) + g ||O^T w||_2``, the penalty that weight decay g makes of a scalar times a
      vector, exactly when g is at least ``||O^T grad f(w0)||_2``. Reason: ``0`` must lie in
      ``grad f(w0) + g O B``, B the unit ball, and across O the gradient vanishes already. The loss
      itself need not be symmetric. A loss that is not convex leaves the mirror below the threshold
      as well; above it w0 is a local minimum, where it was a strict one, of second order, on the
      mirror.
    * A **Hessian** (p, p) of a loss with this mirror at a point w0 on it. Then
      ``l(w) + (g/2) |w|^2`` has, among the points ``w0 + O z``, a strict local minimum at w0 when
      g is greater than ``max(0, -lambda_min(O^T H O))``, and none when it is smaller: gradient flow
      is drawn to the mirror, or driven away from it.

    Both agree where both apply: with w written as a scalar u times a vector v, the loss
    ``f(u v)`` has the mirror ``u = v = 0`` (change the sign of both), and there the least
    eigenvalue of its Hessian is ``-|grad f(0)|``.

    Parameters
    ----------
    gradient_or_hessian : array-like of shape (p,) or (p, p)
    O : array-like of shape (p,) or (p, k)
        Replaced by an orthonormal basis of its span, unless its columns are orthonormal. For a
        penalty on each column alone (a sum of absolute values) call the function for every column
        and take the largest result. For q outputs, ``coef`` (q, p) penalised together, pass
        ``gradient.ravel()`` and ``np.kron(np.eye(q), O)``.

    Returns
    -------
    threshold : float
        At least 0.

    Examples
    --------
    The data pull the second coefficient with a force of 0.3 while it is held at zero:

    >>> from sksym.mirror import decay_threshold
    >>> decay_threshold([0.0, -0.3], [0, 1])
    0.3
    >>> decay_threshold([[0.0, -0.3], [-0.3, 0.0]], [[1, 0], [0, 1]])  # of u and v at zero
    0.3
    """
    O = orthonormal_columns(O)
    values = _finite(gradient_or_hessian, "`gradient_or_hessian`")
    if values.ndim == 2:
        H = _symmetric(values, O)
        along = O.T @ H @ O
        least = np.linalg.eigvalsh(along)[0]
        return max(0.0, -float(least))
    if values.shape != O.shape[:1]:
        raise ValueError(
            f"Expected a gradient of shape ({len(O)},) or a Hessian of shape ({len(O)}, {len(O)}) "
            f"for a mirror in R^{len(O)}, got {values.shape}. Pass the derivatives with respect to "
            "all parameters, flattened."
        )
    return float(np.linalg.norm(O.T @ values))


def noise_exponents(curvatures, learning_rate, decay=0.0):
    """Return the growth rates per step of u + v and u - v under SGD near u = v = 0.

    ``E log|1 - lr (g + h_t)|`` and ``E log|1 - lr (g - h_t)|``. A loss ``f_t(u v)`` of minibatch t
    has near u = v = 0 the gradient ``h_t (v, u)``, where ``h_t = f_t'(0)``, so that one step of SGD
    with weight decay g, ``u -> u - lr (g u + h_t v)`` and the same for v, multiplies u + v by
    ``1 - lr (g + h_t)`` and u - v by ``1 - lr (g - h_t)``. The logarithm of a product of
    independent factors is a random walk with drift: u and v go to zero, almost surely and
    exponentially, exactly when both numbers are negative. (A loss that has this form only near zero
    behaves so from close enough to zero, with a probability as near to 1 as required.)

    Noise alone is therefore enough (g = 0): to second order the exponents are
    ``-+lr E h - lr^2 E h^2 / 2``, both negative when ``lr > 2 |E h| / E h^2``, even though every
    step of the mean gradient leads away from the mirror. Each of u + v = 0 and u - v = 0 is also a
    mirror alone, and one negative number makes u = -v, or u = v.

    Parameters
    ----------
    curvatures : array-like of shape (n,) or (n, m)
        Samples of h_t, one in every row; m pairs side by side. For a linear model with the weight
        u v on feature x: minus the mean over the minibatch of x times the residual.
    learning_rate : float
    decay : float, default=0.0
        The weight decay g, coupled: it is part of the gradient.

    Returns
    -------
    exponents : ndarray of shape (2,) or (2, m)
        For u + v, then for u - v. Minus infinity where one step leads to zero.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym.mirror import noise_exponents
    >>> h = np.array([-1.4, 1.0])  # on average the data ask for u v > 0
    >>> noise_exponents(h, 0.1).max() < 0, noise_exponents(h, 0.5).max() < 0
    (np.False_, np.True_)
    """
    h = _finite(curvatures, "`curvatures`")
    if h.ndim not in (1, 2) or not len(h):
        raise ValueError(
            f"`curvatures` must have shape (n,) or (n, m) with at least one sample, got {h.shape}. "
            "Sample the curvature on some minibatches."
        )
    if not (np.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"`learning_rate` must be positive and finite, got {learning_rate}.")
    check_number(decay, "decay")
    # The first row is for u + v, the second for u - v.
    slopes = np.stack([h, -h])
    factors = 1 - learning_rate * (decay + slopes)
    with np.errstate(divide="ignore"):
        log_growth = np.log(np.abs(factors))
    return log_growth.mean(axis=1)


def orthonormal_columns(O):
    """Return an orthonormal basis of the columns of `O` (p,) or (p, k).

    Orthogonal columns are only scaled. Independent ones are orthogonalised in their order.
    """
    O = _finite(O, "The mirror O")
    if O.ndim == 1:
        O = O[:, None]
    if O.ndim != 2 or not O.size:
        raise ValueError(
            f"The mirror O must have shape (p,) or (p, k) with at least one column, got {O.shape}. "
            "Give one column for every direction that is reflected."
        )
    largest = np.abs(O).max(axis=0)
    if not largest.all():
        raise ValueError(
            "The mirror O must not have columns of zeros, got some at "
            f"{np.flatnonzero(largest == 0).tolist()}. Leave them out: they reflect nothing."
        )
    # Entries near the limits of the exponent would overflow or vanish when squared.
    unit = O / largest
    unit = unit / np.linalg.norm(unit, axis=0)
    deviation = unit.T @ unit - np.eye(O.shape[1])
    if np.abs(deviation).max() <= _ORTHONORMAL:
        return unit
    U, s, _ = np.linalg.svd(unit, full_matrices=False)
    rank = np.count_nonzero(s > _DEPENDENT * s[0])
    if rank < O.shape[1]:
        return U[:, :rank]
    Q, R = np.linalg.qr(unit)
    # Signs as in Gram and Schmidt's method: each column points along the one it came from.
    return Q * np.sign(np.diag(R))


def _finite(values, name):
    """Return an array of floats, without NaN and infinity."""
    if np.iscomplexobj(values):
        raise ValueError(f"{name} is complex: parameters and mirrors are real.")
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be finite, got NaN or infinity. Look for an overflow or a missing value "
            "in its computation."
        )
    return values


def _symmetric(hessian, O):
    """Return the symmetric part of a Hessian (p, p) whose size fits the mirror."""
    H = _finite(hessian, "`hessian`")
    if H.shape != (len(O), len(O)):
        raise ValueError(
            f"The mirror O has {len(O)} rows, so the Hessian must have shape ({len(O)}, {len(O)}), "
            f"got {H.shape}. Let both cover the same parameters, in one order."
        )
    asymmetry = np.abs(H - H.T).max()
    size = np.abs(H).max()
    if asymmetry > _SYMMETRIC * size:
        raise ValueError(
            "A Hessian is symmetric, but the array given is not: its greatest asymmetry is "
            f"{asymmetry:.2g}, its greatest entry {size:.2g}. Pass second derivatives, with "
            "another step if they are finite differences."
        )
    return (H + H.T) / 2


def _points(w, O, n_points, random_state):
    """Return the rows of `w` (m, p) and random points around each, shape (m (1 + n_points), p)."""
    given = _finite(w, "`w`")
    w = np.atleast_2d(given)
    if w.ndim != 2 or w.shape[1] != len(O) or not len(w):
        raise ValueError(
            f"The mirror O has {len(O)} rows, so `w` must have shape ({len(O)},) or "
            f"(m, {len(O)}), got {given.shape}. Let both cover the same parameters, in one order."
        )
    check_count(n_points, "n_points", least=0)
    require_memory(
        16.0 * (n_points + 1) * w.size,
        f"{n_points:,} random points around each of {len(w):,} points in R^{len(O)}",
        "Take fewer points, `n_points`.",
    )
    # A step as long as the point shows a symmetry at its scale.
    size = np.sqrt(np.mean(w**2, axis=1))
    size[size == 0] = 1.0
    rng = check_random_state(random_state)
    steps = rng.normal(size=(n_points, *w.shape))
    around = w + size[:, None] * steps
    return np.concatenate([w, *around])


def _loss_at(loss, point):
    """Return the loss at a point (p,) as a floating-point number of its own precision."""
    value = np.asarray(loss(point.copy()))
    if value.size != 1:
        raise ValueError(
            f"The loss must return one number, got an array of shape {value.shape}. Sum or "
            "average it over the samples."
        )
    value = value.reshape(())
    if not np.issubdtype(value.dtype, np.floating):
        value = value.astype(float)
    if not np.isfinite(value):
        raise ValueError(
            f"The loss is {value} at a point of norm {np.linalg.norm(point):.3g}. Pass points `w` "
            "where it is finite, and n_points=0 if it is not finite around them."
        )
    return value

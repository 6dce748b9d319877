"""`MirrorSGDRegressor`: mirrors that arise by gradient descent on symmetric losses."""

from copy import deepcopy
from dataclasses import replace
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sksym._estimator import (
    check_choice,
    check_count,
    check_fraction,
    check_number,
    on_copy,
    on_fitted_copy,
    warn,
)
from sksym._linalg import one_thread
from sksym.mirror.backends import MirrorFit, moderate_alpha
from sksym.mirror.descent.problem import DescentProblem, product_columns, product_coordinates
from sksym.mirror.descent.scaling import Scaling, without_negligible
from sksym.mirror.descent.training import DescentPlan, Training, concave_slopes
from sksym.mirror.regressor import OVERLAPS, MirrorRegressor

_TANGENTS = 40  # of a concave penalty, at most
_POLISHED = 1e-6  # duality gap of the polish, at most


class MirrorSGDRegressor(MirrorRegressor):
    """Linear regression with mirrors, by stochastic gradient descent on a loss that has them.

    The coefficients are components along the mirrors, ``c_k = O_k^T w``, and each is a product of
    `depth` factors: for depth 2 of a scalar u_k and a vector v_k [1]_. Minibatches B descend::

        1/(2|B|) ||y_B - X_B w - b||^2 + alpha * sum_k weight_k / 2 (u_k^2 + ||v_k||^2)

    The loss does not change when u_k and v_k change their signs: it has a mirror at
    ``u_k = v_k = 0``, to which training is drawn in two ways. *Weight decay*, alpha > 0: since
    ``(u^2 + |v|^2) / 2 >= |u v|``, the minima are those of `MirrorSparseRegressor` with the same
    alpha and weights. *Gradient noise*, even with alpha = 0: near the mirror a step multiplies
    ``u + v`` and ``u - v`` by ``1 - lr (g + h)`` and ``1 - lr (g - h)``, g the decay and h the
    slope of the minibatch, and where the mean logarithm of both is negative they decay to zero
    (`noise_exponents`): small batches and a large `learning_rate` make zeros.

    Where only the minimum is needed, `MirrorSparseRegressor` is faster and exact.

    Parameters
    ----------
    mirrors : mirror of `sksym.mirror` or list of them, default=None
        None: `rescaling()`, a mirror for every coefficient. The mirrors must have a product form:
        single columns, disjoint groups, `trend`, `exchange` along trees, others that are
        independent of each other, or `low_rank` alone, for which ``W = U V^T``.
    alpha : float, default=1.0
        Weight decay, coupled: part of the gradient.
    overlap : {"analysis", "latent"}, default="analysis"
        As in `MirrorSparseRegressor`. "latent", ``w = sum_k O_k u_k v_k``, is the product form of
        mirrors that are not independent.
    depth : int, default=2
        Number of factors in a product. The penalty is
        ``alpha weight_k depth/2 ||c_k||^(2/depth)``, concave beyond 2, where a local minimum is
        found.
    learning_rate : float or "auto", default="auto"
        Step, in units in which columns and targets have variance 1. A number is used as a constant
        learning rate. "auto" is one over the largest curvature of minibatches, measured
        repeatedly; when the loss decreases no more, or after half of `max_epochs`, it falls by a
        factor of 1000.
    batch_size : int, default=32
        Rows of a minibatch.
    max_epochs : int, default=1000
    tol : float, default=1e-3
        Relative duality gap, between 0 and 1, at which training stops; for depth 2 with alpha > 0.
        The excess of the objective, which the gap bounds, is often a hundred times smaller.
    remove_symmetry : bool, default=False
        Whether to prevent collapse: the factors theta become ``theta + theta_0`` in the model, with
        a fixed random theta_0 (normal, standard deviation 0.1, for `low_rank` columns of length
        0.1), while the decay acts on theta. The loss of the data is symmetric about ``theta =
        -theta_0`` and the decay about ``theta = 0``, so their sum has no mirror, and no component
        is lost permanently. Without decay theta_0 would be a change of variables, to which gradient
        descent is indifferent, so the decay is at least 0.01 here (in the units of
        `learning_rate`). Coefficients are not zero then, and not polished.
    polish : bool, default=True
        Whether to solve the problem exactly after training, from the trained coefficients: for
        depth 2 the convex problem, to a gap of 1e-6; beyond, for the zeros found, to the next local
        minimum. With alpha = 0 there is nothing to polish. Sample weights are equivalent to
        repeated rows exactly after polishing, and on average in minibatches.
    fit_intercept : bool, default=True
        Whether to fit an intercept. It and the coefficients that no mirror touches are no products;
        `fit` sets them to their best values at the end.
    random_state : int, RandomState instance or None, default=None
        Source of the minibatches and of theta_0.

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (q, p)
        Several outputs share their mirrors, as in MultiTaskLasso.
    intercept_ : float or ndarray of shape (q,)
    dual_gap_ : float
        Upper bound on the excess of the objective over its minimum, in units of the objective, on
        the rows last given; with depth > 2 that of a tangent problem; with alpha = 0 the excess
        over least squares.
    n_iter_ : int
        Number of epochs.
    active_, satisfied_ : ndarray of shape (m,), bool
        Which elementary mirrors are broken, and which hold; with `low_rank` singular values.
    mirror_names_ : list of m str
    loss_path_ : ndarray of shape (n_iter_,)
        Mean of ``1/2 |y - prediction|^2`` in each epoch, before the steps and without the decay.
    factors_ : list of two ndarrays
        The trained factors: u (depth - 1, m) and v (t, q), t the entries of all c_k; for `low_rank`
        U (p, r) and V (q, r).

    References
    ----------
    .. [1] L. Ziyin, "Symmetry induces structure and constraint of learning", ICML 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import MirrorSGDRegressor, MirrorSparseRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 6))
    >>> y = X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=60)
    >>> trained = MirrorSGDRegressor(alpha=0.2, polish=False, random_state=0).fit(X, y)
    >>> trained.coef_.round(2) + 0
    array([ 0.82, -1.78,  0.  ,  0.  ,  0.  ,  0.  ])
    >>> MirrorSparseRegressor(alpha=0.2).fit(X, y).coef_.round(2) + 0
    array([ 0.82, -1.78,  0.  ,  0.  ,  0.  ,  0.  ])
    """

    def __init__(
        self,
        mirrors=None,
        *,
        alpha=1.0,
        overlap="analysis",
        depth=2,
        learning_rate="auto",
        batch_size=32,
        max_epochs=1000,
        tol=1e-3,
        remove_symmetry=False,
        polish=True,
        fit_intercept=True,
        random_state=None,
    ):
        self.mirrors = mirrors
        self.alpha = alpha
        self.overlap = overlap
        self.depth = depth
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.tol = tol
        self.remove_symmetry = remove_symmetry
        self.polish = polish
        self.fit_intercept = fit_intercept
        self.random_state = random_state

    @on_copy
    def fit(self, X, y, sample_weight=None):
        """Train the factors, and polish the coefficients.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, p)
        y : array-like of shape (n,) or (n, q)
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        self : MirrorSGDRegressor
        """
        problem = self._descent_problem(X, y, sample_weight, None)
        # Without decay, or with one about another point, there is no exact problem to solve.
        polish = self.polish and self.alpha > 0 and not self.remove_symmetry
        # A concave polish weights the components of the coefficients, which must be unique.
        if polish and self.depth > 2 and not problem.coordinates.distinct:
            raise ValueError(
                f"Mirrors that overlap cannot be polished with depth={self.depth}: use "
                "polish=False, or depth=2."
            )
        losses = self._train(problem, self.max_epochs)
        c = problem.training.model.components()
        sizes = problem.training.sizes
        if self._is_convex:
            c = problem.rows.settled(c, problem.decay, sizes)
        elif not self.remove_symmetry:
            c = without_negligible(c, sizes)
        # Descent has brought the free coefficients near their best values only.
        z, _ = problem.rows.refit(c)
        fit = self._fit_of(problem, c, z)
        if polish:
            fit = self._polished(problem, fit)
        if self._is_convex and not fit.converged:
            self._warn_unfinished(fit, len(losses), polish)
        self._set_training(problem, fit, losses)

    @on_fitted_copy
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on these rows, from the factors that are there, without a polish.

        Units and mirrors are those of the first rows. After `fit`, training goes on from the
        factors before the polish.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, p)
        y : array-like of shape (n,) or (n, q)
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        self : MirrorSGDRegressor
        """
        # The factors of the model that is replaced must not change if this fails.
        training = deepcopy(getattr(self, "_training_", None))
        previous = getattr(self, "loss_path_", [])
        problem = self._descent_problem(X, y, sample_weight, training)
        losses = self._train(problem, 1)
        training = problem.training
        c = training.model.components()
        # With mirrors, what is negligible will not come back.
        if not self.remove_symmetry:
            c = without_negligible(c, training.sizes)
        fit = self._fit_of(problem, c, training.free)
        self._set_training(problem, fit, losses)
        self.loss_path_ = np.append(previous, self.loss_path_)
        self.n_iter_ = len(self.loss_path_)

    @property
    def _is_convex(self):
        """Whether training is for the minimum of a convex problem with mirrors."""
        return self.alpha > 0 and self.depth == 2 and not self.remove_symmetry

    def _check_options(self):
        """Raise if a parameter makes no sense."""
        check_number(self.alpha, "alpha")
        check_fraction(self.tol, "tol")
        check_choice(self.overlap, "overlap", OVERLAPS)
        check_count(self.depth, "depth", least=2)
        check_count(self.batch_size, "batch_size")
        check_count(self.max_epochs, "max_epochs")
        rate = self.learning_rate
        if isinstance(rate, str) and rate == "auto":
            return
        if not isinstance(rate, Real) or isinstance(rate, bool) or not 0 < rate < np.inf:
            raise ValueError(f'`learning_rate` must be "auto" or a number > 0, got {rate!r}.')

    def _descent_problem(self, X, y, sample_weight, training):
        """Return the rows in the units of a training, of a new one for None."""
        self._check_options()
        data, operators = self._prepared(X, y, sample_weight, training)
        if operators.nuclear:
            self._check_low_rank(data.Y.shape[1])
        data = data.counted()
        coordinates = product_coordinates(operators, self.overlap, sparse.issparse(data.X))
        A, F = product_columns(data.X, coordinates)
        fit_intercept = bool(self.fit_intercept)
        shape = (A.shape[1], F.shape[1] + fit_intercept, data.Y.shape[1])
        sizes = operators.sizes
        blocks = sizes
        weights = operators.weights
        if operators.nuclear:
            # The whole matrix is one block, of one scale: rotations mix its columns.
            sizes = None
            blocks = [A.shape[1]]
            weights = np.array([operators.nuclear])
        if training is None:
            scaling = Scaling.of(A, F, data.Y, data.weight, blocks, fit_intercept)
            rng = check_random_state(self.random_state)
            training = Training(scaling, sizes, shape, self.depth, rng, data.units)
        elif not training.is_for(sizes, shape, self.depth):
            raise ValueError(
                "`partial_fit` goes on with the factors of the previous fit, whose mirrors, depth "
                "or number of targets were others: use `fit`."
            )
        if self.remove_symmetry:
            training.remove_mirrors()
        alpha = float(self.alpha)
        if training.units is not None:
            alpha = training.units.alpha_inside(self.alpha)
        return DescentProblem(
            data,
            operators,
            self.overlap,
            fit_intercept,
            coordinates,
            training,
            rows=training.scales.apply(A, F, data.Y, data.weight),
            decay=training.decay(alpha, weights),
            alpha=alpha,
        )

    def _train(self, problem, epochs):
        """Train for at most some epochs; return their mean losses in units of the problem."""
        plan = DescentPlan(
            rate=None if self.learning_rate == "auto" else float(self.learning_rate),
            batch_size=self.batch_size,
            max_epochs=epochs,
            tol=self.tol if self._is_convex else None,
        )
        # Minibatches are small matrices; divergence is detected by its loss.
        with one_thread(), np.errstate(all="ignore"):
            losses = problem.training.run(problem.rows, problem.decay, plan)
        return np.array(losses) * problem.training.scales.size**2

    def _fit_of(self, problem, c, z):
        """Return the `MirrorFit` of components c (t, q) and free coefficients z (f, q)."""
        rows = problem.rows
        n = len(rows.Y)
        norm = problem.training.norm(problem.decay, n, c)
        objective = rows.loss(c, z) + norm.value(c) / n
        unit = problem.training.scales.size**2  # of the loss
        if self.alpha == 0:
            # Least squares is the minimum, and no penalty has a dual norm.
            lower_bound = problem.least_objective() / unit
        else:
            gap, best_objective = rows.gap(c, norm)
            lower_bound = (best_objective - gap) / n
        gap = max(objective - lower_bound, 0.0)
        W, intercept, lengths = problem.coefficients(c, z)
        return MirrorFit(
            W=W,
            intercept=intercept,
            lengths=lengths,
            objective=objective * unit,
            gap=gap * unit,
            n_iter=0,
            converged=bool(gap <= self.tol * objective),
        )

    def _polished(self, problem, fit):
        """Return the minimum, from a fit that is near it; a local one if the penalty is concave."""
        if self.depth == 2:
            backend = problem.backend()
            alpha = moderate_alpha(backend, problem.alpha)
            fit = backend.solve(alpha, problem.start(backend, fit))
            close = fit.gap <= _POLISHED * fit.objective
            return replace(fit, converged=fit.converged or close)
        for _ in range(_TANGENTS):
            # Zeros stay zero: the slope of the penalty there is nearly infinite.
            previous = fit.W
            lengths = problem.operators.lengths(previous)
            backend = problem.backend(concave_slopes(lengths, self.depth))
            alpha = moderate_alpha(backend, problem.alpha)
            fit = backend.solve(alpha, problem.start(backend, fit))
            if np.abs(fit.W - previous).max() <= _POLISHED * np.abs(previous).max():
                break
        return fit

    def _warn_unfinished(self, fit, n_epochs, polish):
        """Warn that the tolerance was not reached, by training or by the polish after it."""
        tol = self.tol
        remedy = "polish=True closes it"
        if polish:
            tol = _POLISHED
            remedy = "scale the columns of X alike"
        warn(
            f"The duality gap is {fit.gap / (fit.objective or 1.0):.2g} of the objective after "
            f"{n_epochs} epochs, more than tol={tol}: {remedy}; or increase `max_epochs`, or "
            "`tol`.",
            ConvergenceWarning,
        )

    def _set_training(self, problem, fit, losses):
        """Set the fitted attributes."""
        # `fit` has warned in terms of epochs.
        fits = [replace(fit, converged=True)]
        units = problem.data.units
        if units is not None:
            fits = units.fits_outside(fits)
            losses = units.losses(losses)
        self._set_fits(fits, problem.data, problem.operators)
        self.n_iter_ = max(len(losses), 1)
        self.loss_path_ = losses
        self.factors_ = problem.training.in_units_of_data()
        self._training_ = problem.training

"""`MirrorSGDRegressor`: the mirrors as they come about, by gradient descent on symmetric losses."""

import warnings
from copy import copy, deepcopy
from dataclasses import replace
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sksym._linalg import one_thread
from sksym._estimator import adopt, check_count, check_number
from sksym.mirror.fitting import Fit, Options
from sksym.mirror.regressor import MirrorRegressor
from sksym.mirror.training import Plan, Task, Training, parts_of, product_form, slopes
from sksym.mirror.units import Scales, settled

_ROUNDS = 40  # tangents of a concave penalty, at most
_POLISHED = 1e-6  # duality gap of the polish, at most
_AIMED = 1e-9  # and if it can be had: what training left must not be seen


class MirrorSGDRegressor(MirrorRegressor):
    """Linear regression with mirrors, by stochastic gradient descent on a loss that has them.

    The coefficients are components along the mirrors, ``c_k = O_k^T w``, and each is a product of
    `depth` factors: for depth 2 of a scalar u_k and a vector v_k [1]_. Minibatches B descend::

        1/(2|B|) ||y_B - X_B w - b||^2 + alpha * sum_k weight_k / 2 (u_k^2 + ||v_k||^2)

    The loss does not change when u_k and v_k change their signs: it has a mirror at
    ``u_k = v_k = 0``, to which training is drawn in two ways. *Weight decay*, alpha > 0: since
    ``(u^2 + |v|^2) / 2 >= |u v|``, minima are those of `MirrorSparseRegressor` with the same
    alpha and weights. *Gradient noise*, even with alpha = 0: near the mirror a step multiplies
    ``u + v`` and ``u - v`` by ``1 - lr (g + h)`` and ``1 - lr (g - h)``, g the decay and h the
    slope of the minibatch, and where the mean logarithm of both is negative they die out
    (`noise_exponents`): small batches and a large `learning_rate` make zeros.

    If the minimum is all you want, take `MirrorSparseRegressor`: it is faster and exact.

    Parameters
    ----------
    mirrors : mirror of `sksym.mirror` or list of them, default=None
        None: `rescaling()`, every coefficient by itself. They must have a product form: single
        columns, disjoint groups, `trend`, `exchange` along trees, others that are independent of
        each other, or `low_rank` alone, for which ``W = U V^T``.
    alpha : float, default=1.0
        Weight decay, coupled: part of the gradient.
    overlap : {"analysis", "latent"}, default="analysis"
        As in `MirrorSparseRegressor`. "latent", ``w = sum_k O_k u_k v_k``, is the product form of
        mirrors that are not independent.
    depth : int, default=2
        Factors in a product. The penalty is ``alpha weight_k depth/2 ||c_k||^(2/depth)``, concave
        beyond 2, where a local minimum is found.
    learning_rate : float or "auto", default="auto"
        Step, in units in which columns and targets have variance 1. A number stays what it is.
        "auto": one over the largest curvature of minibatches, measured again and again; when the
        loss decreases no more, or after half of `max_epochs`, it falls by a factor of 1000.
    batch_size : int, default=32
    max_epochs : int, default=1000
    tol : float, default=1e-3
        Relative duality gap at which training stops; for depth 2 with alpha > 0. What the gap
        bounds, the excess of the objective, is often a hundred times smaller.
    remove_symmetry : bool, default=False
        The remedy against collapse: the factors theta become ``theta + theta_0`` in the model, with
        a fixed random theta_0 (normal, standard deviation 0.1, for `low_rank` columns of length
        0.1), while the decay acts on theta. The data's loss is symmetric about ``theta =
        -theta_0`` and the decay about ``theta = 0``, so their sum has no mirror, and no component
        can be lost for good. Without decay theta_0 would be a mere change of variables, which
        gradient descent does not notice; so the decay is at least 0.01 here (in the units of
        `learning_rate`). Coefficients are not zero then, and not polished.
    polish : bool, default=True
        Whether to solve the problem exactly after training, from its outcome: for depth 2 the
        convex problem, to a gap of 1e-6; beyond, for the zeros found, to the next local minimum.
        With alpha = 0 there is nothing to polish. Sample weights count as repeated rows exactly
        where the outcome is polished; minibatches agree with that on average.
    fit_intercept : bool, default=True
        The intercept, and coefficients that no mirror touches, are no products; `fit` sets them
        to their best values at the end.
    random_state : int, RandomState instance or None, default=None
        Of minibatches, and of theta_0.

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (q, p)
        Several outputs share their mirrors, as in MultiTaskLasso.
    intercept_ : float or ndarray of shape (q,)
    dual_gap_ : float
        An upper bound of what the objective exceeds the least by, on the rows last given; with
        depth > 2 that of a tangent problem; with alpha = 0 the excess over least squares.
    n_iter_ : int
        Epochs.
    active_, satisfied_ : ndarray of shape (m,), bool
        Which elementary mirrors are broken, and which hold; with `low_rank` singular values.
    mirror_names_ : list of m str
    loss_path_ : ndarray of shape (n_iter_,)
        Mean of ``1/2 |y - prediction|^2`` in each epoch, before the steps and without the decay.
    factors_ : list of two ndarrays
        As trained: u (depth - 1, m) and v (t, q), t the entries of all c_k; for `low_rank` U (p, r)
        and V (q, r).

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

    multi_task = True

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

    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on these rows, from the factors there are; not polished.

        Units and mirrors are those of the first rows. After `fit` it goes on with the factors as
        they were before the polish.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, p)
        y : array-like of shape (n,) or (n, q)
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        self
        """
        fresh, training = copy(self), deepcopy(getattr(self, "_training_", None))
        task = fresh._task(X, y, sample_weight, training)
        losses = fresh._trained(task, 1)
        training = task.training
        c = training.model.components()
        c = c if self.remove_symmetry else settled(c, training.sizes)
        before = [] if not hasattr(self, "loss_path_") else self.loss_path_
        fresh._keep(task, fresh._judged(task, c, training.free), np.append(before, losses))
        return adopt(self, fresh)

    def _fit(self, X, y, sample_weight, before):
        task = self._task(X, y, sample_weight, None)
        polish = self.polish and self.alpha > 0 and not self.remove_symmetry
        if polish and self.depth > 2 and task.form.inverse is None:
            raise ValueError(
                f"Mirrors that overlap cannot be polished with depth={self.depth}: use "
                "polish=False, or depth=2."
            )
        losses = self._trained(task, int(self.max_epochs))
        c, sizes = task.training.model.components(), task.training.sizes
        if self._is_convex:
            c = task.data.settled(c, task.decay, sizes)
        elif not self.remove_symmetry:
            c = settled(c, sizes)
        fit = self._judged(task, c, task.data.refit(c)[0])
        fit = self._polished(task, fit) if polish else fit
        if self._is_convex and not fit.converged:
            remedy = "scale the columns of X alike" if polish else "polish=True closes it"
            warnings.warn(
                f"The duality gap is {fit.gap / (fit.objective or 1.0):.2g} of the objective after "
                f"{len(losses)} epochs, more than tol={_POLISHED if polish else self.tol}: "
                f"{remedy}; or increase `max_epochs`, or `tol`.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._keep(task, fit, losses)

    @property
    def _is_convex(self):
        """Whether training is for the minimum of a convex problem with mirrors."""
        return self.alpha > 0 and self.depth == 2 and not self.remove_symmetry

    def _plan(self, epochs):
        """The checked parameters of the descent."""
        rate = self.learning_rate
        number = isinstance(rate, Real) and not isinstance(rate, bool)
        if not (number and 0 < rate < np.inf) and not (isinstance(rate, str) and rate == "auto"):
            raise ValueError(f'`learning_rate` must be "auto" or a number > 0, got {rate!r}.')
        tol = float(self.tol) if self._is_convex else None
        return Plan(float(rate) if number else None, int(self.batch_size), epochs, tol)

    def _check_parameters(self):
        for name in ("alpha", "tol"):
            check_number(getattr(self, name), name)
        for name, least in (("depth", 2), ("batch_size", 1), ("max_epochs", 1)):
            check_count(getattr(self, name), name, least)
        if self.overlap not in ("analysis", "latent"):
            raise ValueError(f"`overlap` must be analysis or latent, got {self.overlap!r}.")
        self._plan(1)

    def _task(self, X, y, sample_weight, training):
        """Data in the units of their training, a new one where there is none yet."""
        self._check_parameters()
        given, rows = self._data(X, y, sample_weight, reset=training is None)
        X, Y, root, one_target, dtype = given
        if not root.all():
            X, Y, root = X[root > 0], Y[root > 0], root[root > 0]
        form = product_form(rows, self.overlap, sparse.issparse(X))
        A, F = parts_of(X, form)
        sizes = None if rows.nuclear else rows.sizes
        shape, weight = (A.shape[1], F.shape[1] + bool(self.fit_intercept), Y.shape[1]), root**2
        if training is None:
            blocks = [A.shape[1]] if rows.nuclear else rows.sizes
            scales = Scales.of(A, F, Y, weight, blocks, bool(self.fit_intercept))
            rng = check_random_state(self.random_state)
            training = Training(scales, sizes, shape, int(self.depth), rng)
        elif not training.is_for(sizes, shape, self.depth):
            raise ValueError(
                "`partial_fit` goes on with the factors of the fit before, whose mirrors, depth or "
                "number of targets were others: use `fit`."
            )
        if self.remove_symmetry:
            training.remove_mirrors()
        weights = np.array([rows.nuclear]) if rows.nuclear else rows.weights
        decay = training.decay(self.alpha, weights)
        data = training.scales.apply(A, F, Y, weight)
        return Task(X, Y, root, rows, form, training, data, decay, one_target, dtype)

    def _trained(self, task, epochs):
        """Mean losses of so many epochs, in the units of the data."""
        with one_thread(), np.errstate(all="ignore"):
            losses = task.training.run(task.data, task.decay, self._plan(epochs))
        return np.array(losses) * task.training.scales.size**2

    def _judged(self, task, c, z):
        """Components c with the free coefficients z as a `Fit`."""
        training, data = task.training, task.data
        n, unit = len(data.Y), training.scales.size**2
        norm = training.norm(task.decay, n, c)
        objective = data.loss(c, z) + norm.value(c) / n
        if self.alpha == 0:
            least = task.problem(self._options).fit(0.0).objective / unit
        else:
            gap, best = data.gap(c, norm)
            least = (best - gap) / n
        W, b, active = task.coefficients(c, z)
        gap = max(objective - least, 0.0)
        close = bool(gap <= self.tol * objective)
        return Fit(W, b, active, objective * unit, gap * unit, 0, converged=close)

    @property
    def _options(self):
        return Options(self.overlap, fit_intercept=bool(self.fit_intercept), tol=_AIMED)

    def _polished(self, task, fit):
        """The minimum, from a fit that is near it; a local one if the penalty is concave."""
        if self.depth == 2:
            problem = task.problem(self._options)
            fit = problem.fit(self.alpha, task.start(problem, fit))
            return replace(fit, converged=fit.converged or fit.gap <= _POLISHED * fit.objective)
        for _ in range(_ROUNDS):
            before = fit.W
            factors = slopes(task.rows.lengths(before), self.depth)
            rows = replace(task.rows, weights=task.rows.weights * factors)
            problem = replace(task, rows=rows).problem(self._options)
            fit = problem.fit(self.alpha, task.start(problem, fit))
            if np.abs(fit.W - before).max() <= _POLISHED * np.abs(before).max():
                break
        return fit

    def _keep(self, task, fit, losses):
        """Fitted attributes."""
        self._set_fits([replace(fit, converged=True)], task.rows, task.one_target, task.dtype)
        self.n_iter_, self.loss_path_ = max(len(losses), 1), losses
        self.factors_, self._training_ = task.training.in_units_of_data(), task.training

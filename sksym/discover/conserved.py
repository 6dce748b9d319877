"""Conserved quantities: the duality read backwards, functions that the dynamics leave alone."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from sksym._estimator import (
    check_range,
    checked_weights,
    finite_or_none,
    moderate_weights,
    on_copy,
    validate_data,
    warn,
)
from sksym._linalg import one_thread
from sksym.discover.independence import independent_first
from sksym.discover.motion import evidence_of_trajectories, evidence_of_velocities
from sksym.dynamics.trajectories import checked_times
from sksym.equivariant import place
from sksym.evidence import check_rule, rounded, verdict
from sksym.groups import Group
from sksym.libraries import PolynomialLibrary, evaluate, library_formulas


class ConservedQuantities(TransformerMixin, BaseEstimator):
    """Functions of a library that do not change along the trajectories of a dynamical system.

    ``F(x) = coef @ phi(x)`` is conserved by x' = G(x) when its Lie derivative along G vanishes,
    which is linear in coef as the symmetries of F are linear in the generator. From velocities,
    looks for the least

        ``min_coef  mean (dF(x) G(x))^2  /  mean (|dF(x)|^2 |G(x)|^2)``,

    from trajectories x_j(t), without derivatives in time, for the least

        ``min_coef  mean (F(x_j(t)) - mean_j F)^2  /  mean (|dF(x_j(t))|^2 r_j^2)``,

    with coordinates in units of their spread and r_j the root mean square distance of trajectory
    j from its mean.

    Parameters
    ----------
    library : library, default=None
        The functions to choose from; None: ``PolynomialLibrary(2)``.
    n_quantities : "auto" or int, default="auto"
        "auto": all whose changes are zero within the errors of the data, see Notes. A number:
        those with the least changes.
    snap : bool, default=True
        Round coefficients of plain functions to simple numbers where these lie within four
        standard errors and the rounded functions are as well conserved.
    max_defect : float, default=0.1
        A quantity is declared only where the noise floor is below this; otherwise it is undecided.
    random_state : int, RandomState or None, default=None
        Decides the folds that choose a degree, and subsamples.

    Attributes
    ----------
    coef_ : ndarray of shape (k, p)
        The quantities in the functions of `library_`, a row each: independent ones first, and
        those of few terms first among them. The rows are, in another order, in reduced echelon
        form.
    n_quantities_ : int
        Their number k. Functions of conserved quantities are conserved too, and are found if
        they lie in the library: the energy and its square are two.
    n_independent_ : int
        Number of quantities that are independent, the rank of their gradients within the errors
        of the data: the energy and its square are one.
    singular_values_ : ndarray
        Relative changes of all functions that vary, descending.
    noise_floor_ : float
        Contribution of errors in the data to the changes of the declared quantities.
    undecided_ : int
        Number of functions whose changes are compatible with zero, on evidence too weak to
        declare them: under too much noise, or on too few trajectories.
    library_ : fitted library

    Notes
    -----
    *Exact velocities* are used as they are, and need not lie in the library. They are recognised
    by functions whose rates of change are round-off of the data, which errors do not do by
    accident. *Noisy velocities* are smoothed, by least squares in the library or in polynomials,
    whichever predicts held-out velocities better; the residuals of that fit and its leverages
    give the noise floor.

    On *trajectories* the values of functions are smoothed in time, less what noise adds to their
    means, ``sum_j F_jj noise_j^2 / 2``. The residuals show their noise E, which is subtracted from
    their variance M within trajectories: ``coef (M - E) coef^T`` takes the place of the numerator.
    The largest eigenvalue of M in units of E decides by chi square how many functions are
    constant, on the whole and in slow changes alone, which show what is nearly conserved.
    Simulated states are taken to be accurate to 1e-5 of their spread. A function of the library
    that differs from a conserved one by less than the noise floor cannot be told from it.

    From velocities, a quantity is declared when its change is within twice the floor, and both are
    far below the next singular value; on trajectories, when chance explains its change and not even
    nearly that of one more. One trajectory determines little: a function that is constant on it may
    be conserved, or just vanish there. So more than half of the trajectories, left out in turn,
    must confirm it: on the others no further function is constant. Without such confirmation the
    velocities decide, fitted in the library or in polynomials, to noisy trajectories in the weak
    form; and where these are uncertain, too, functions are counted in `undecided_`.

    References
    ----------
    Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248), the section on conserved quantities.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import ConservedQuantities
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> X_dot = np.column_stack([X[:, 1], -X[:, 0]])
    >>> ConservedQuantities().fit(X, X_dot).get_feature_names_out()
    array(['x0^2 + x1^2'], dtype=object)
    """

    def __init__(
        self,
        library=None,
        *,
        n_quantities="auto",
        snap=True,
        max_defect=0.1,
        random_state=None,
    ):
        self.library = library
        self.n_quantities = n_quantities
        self.snap = snap
        self.max_defect = max_defect
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    @on_copy
    def fit(self, X, y=None, sample_weight=None, *, X_dot=None, t=None, trajectory=None):
        """Find what is conserved, from states and velocities or from trajectories.

        Parameters
        ----------
        X : array-like of shape (n, d)
            States.
        y : array-like of shape (n, d), default=None
            Their time derivatives, which may also be given by the name `X_dot`.
        sample_weight : array-like of shape (n,), default=None
        X_dot : array-like of shape (n, d), default=None
        t : array-like of shape (n,), or float, default=None
            Times, increasing within each trajectory, or the step. None: steps are equal.
        trajectory : array-like of shape (n,), default=None
            The trajectory of every row, see `sksym.dynamics.stack_trajectories`. None: all rows
            are one where there is a `t`, else samples without order.
        """
        X_dot = y if X_dot is None else X_dot
        are_trajectories = t is not None or trajectory is not None
        if X_dot is None and not are_trajectories:
            raise ValueError(
                "requires y to be passed, but the target y is None: the second argument is X_dot, "
                "the time derivatives of the rows of X. Without derivatives, pass the times `t` "
                "and the `trajectory` of every row."
            )
        indices = None
        if are_trajectories:
            # Of X as it was given, whose columns have names: errors name the place.
            t, indices = checked_times(X, t, trajectory)
        X = validate_data(self, X, dtype=np.float64)
        check_range(X, "X")
        weight = moderate_weights(checked_weights(sample_weight, len(X)))
        library = self._placed_library(X)
        # Plain functions: their coefficients are what is rounded to simple numbers.
        functions = np.diag(1 / library.name_sizes())
        rng = check_random_state(self.random_state)
        # Many small factorisations: threads cost more than they save.
        with one_thread():
            if X_dot is None:
                case = evidence_of_trajectories(
                    library, functions, X, t, indices, weight, self.max_defect, rng
                )
            else:
                X_dot = _time_derivatives(X_dot, X)
                case = evidence_of_velocities(
                    library, functions, X, X_dot, indices, weight, self.max_defect, rng
                )
            self._conclude(case, library, functions, X, weight)
        if not self.n_quantities_:
            warn(
                "No function of the library is conserved as far as the data tell, so there are no "
                "features: raise the degree of the library, give more trajectories if some are "
                "undecided, or look at `singular_values_`."
            )

    def _placed_library(self, X):
        """Return the library fitted to states (n, d)."""
        d = X.shape[1]
        template = PolynomialLibrary(2) if self.library is None else self.library
        library, _ = place(
            template,
            X,
            Group.none(d),
            near=np.zeros(d),  # formulas in the users' own variables
            names=vars(self).get("feature_names_in_"),
        )
        check_rule("n_quantities", self.n_quantities, library.n_output_features_, self.max_defect)
        return library

    def _conclude(self, case, library, functions, X, weight):
        """Set what is conserved, by a `Case` for functions (k, p)."""
        # A number asked for is given, whether or not other trajectories confirm it.
        is_auto = isinstance(self.n_quantities, str)
        count = case.count if is_auto else self.n_quantities
        proposals = _partly_rounded if self.snap else None
        conclusion = verdict(case.evidence, count, self.max_defect, proposals)
        self.library_ = library
        self.coef_, self.n_independent_ = independent_first(
            library,
            conclusion.generators @ functions,
            X,
            weight,
            conclusion.floor,
        )
        self.n_quantities_ = len(self.coef_)
        # Ascending there, since small ones are of interest; descending in all estimators.
        self.singular_values_ = case.evidence.spectrum.singular_values[::-1]
        self.noise_floor_ = finite_or_none(conclusion.floor)
        self.undecided_ = case.undecided if is_auto else 0

    def transform(self, X):
        """Return the values of the conserved quantities, shape (n, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return evaluate(self.library_, self.coef_, X)

    def get_feature_names_out(self, input_features=None):
        """Return the quantities as formulas, long ones cut."""
        check_is_fitted(self)
        return library_formulas(self, input_features)


def _time_derivatives(X_dot, X):
    """Return the time derivatives of states `X` (n, d), checked: (n, d)."""
    X_dot = check_array(X_dot, dtype=np.float64, ensure_2d=False, input_name="X_dot")
    if X_dot.ndim == 1 and X.shape[1] == 1:  # a single state may come as a vector
        X_dot = X_dot[:, None]
    if X_dot.shape != X.shape:
        raise ValueError(
            f"X_dot must have the shape of X, {X.shape}, got {X_dot.shape}: one time "
            "derivative for every state."
        )
    check_range(X_dot, "X_dot")
    if not X_dot.any():
        raise ValueError(
            "All time derivatives are zero, so every function is conserved: there is nothing "
            "to find."
        )
    return X_dot


def _partly_rounded(form, errors):
    """Propose quantities (k, p) with simple coefficients, in the form that `verdict` expects.

    Other numbers may stay: a quantity is conserved whatever the others are, unlike the generators
    of a group.
    """
    simple = rounded(form, errors, partly=True)
    return [] if simple is None else [simple]

"""Log loss with and without the constraint, for three classifications of known symmetry.

The same polynomials are fitted to the same labels, drawn from known probabilities, with the
symmetry enforced (SymmetricLogisticRegressionCV) and without it (scikit-learn's
LogisticRegressionCV on the same functions, standardised), C from the same list by log loss in the
same folds. Medians over seeds of the log loss on 4,000 fresh samples, and how often the constraint
wins. The last column is the log loss of the true probabilities, which no classifier can beat on
average.

Two more rows show where plain logistic regression wins: a symmetry that the classes do not have,
and so many samples that the constraint no longer saves anything.
"""

import argparse
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sksym import SymmetricLogisticRegressionCV, lorentz, permutations, so
from sksym.libraries import PolynomialLibrary

CS = np.logspace(-4, 4, 10)
SIZES = [60, 120, 240, 480]


def shell(X):
    """Three classes of the distance from the origin: inside, shell, outside."""
    square = np.sum(X**2, axis=1)
    return np.column_stack([4 - 2 * square, np.zeros(len(X)), square - 4])


def invariant_mass(X):
    """Whether two particles, four-momenta (E, p), are one that decayed: a heavy one."""
    metric = np.array([-1.0, 1, 1, 1])
    total = X[:, :4] + X[:, 4:]
    heavy = -np.sum(metric * total**2, axis=1)
    return np.column_stack([np.zeros(len(X)), heavy])


def sensors(X):
    """Whether six interchangeable sensors disagree."""
    spread = np.var(X, axis=1)
    return np.column_stack([np.zeros(len(X)), 6 * spread - 5 + np.mean(X, axis=1)])


def tilted(X):
    """A direction that rotations do not know."""
    return np.column_stack([np.zeros(len(X)), 2 * X[:, 0] + X[:, 1] ** 2])


PROBLEMS = {
    "rotations: three shells in R^3": (shell, 3, 4, so(3)),
    "Lorentz: heavy pairs": (invariant_mass, 8, 2, lorentz(3).repeat(2)),
    "permutations: six sensors": (sensors, 6, 2, permutations(6)),
    "wrong: rotations of tilted classes": (tilted, 3, 2, so(3)),
}


def samples(logits, d, n, rng):
    """Draw rows and labels, and return the true probabilities too."""
    X = rng.normal(size=(n, d))
    p = np.exp(logits(X))
    p /= p.sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return X, y, p


def losses(logits, d, degree, symmetry, n, seed):
    """Test log losses: enforced, plain, and of the truth."""
    rng = np.random.default_rng(seed)
    X, y, _ = samples(logits, d, n, rng)
    X_test, y_test, p_test = samples(logits, d, 4000, rng)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    library = PolynomialLibrary(degree)
    enforced = SymmetricLogisticRegressionCV(symmetry, library=library, Cs=CS, cv=folds)
    plain = make_pipeline(
        library,
        StandardScaler(),
        LogisticRegressionCV(
            Cs=CS,
            cv=folds,
            scoring="neg_log_loss",
            max_iter=2000,
            l1_ratios=[0.0],
            use_legacy_attributes=False,
        ),
    )
    classes = np.arange(p_test.shape[1])
    found = []
    for model in (enforced, plain):
        p = model.fit(X, y).predict_proba(X_test)
        found.append(log_loss(y_test, p, labels=classes))
    return [*found, log_loss(y_test, p_test, labels=classes)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    arguments = parser.parse_args()
    print(f"{'log loss':36}{'n':>6}{'enforced':>10}{'plain':>10}{'truth':>10}{'wins':>8}")
    for name, problem in PROBLEMS.items():
        for n in arguments.sizes:
            found = np.array([losses(*problem, n, seed) for seed in range(arguments.seeds)])
            enforced, plain, truth = np.median(found, axis=0)
            wins = np.count_nonzero(found[:, 0] < found[:, 1])
            print(
                f"{name:36}{n:6}{enforced:10.3f}{plain:10.3f}{truth:10.3f}"
                f"{wins:5}/{arguments.seeds}",
                flush=True,
            )


if __name__ == "__main__":
    with threadpool_limits(1), warnings.catch_warnings():
        # Few samples in a fold: scikit-learn says so at every fit of the plain model.
        warnings.simplefilter("ignore")
        main()

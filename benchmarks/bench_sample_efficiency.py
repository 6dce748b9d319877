"""Samples needed with and without the constraint, for three functions of known symmetry.

The same polynomials are fitted to the same noisy samples (5 % of the spread) with the symmetry
enforced (SymmetricRidgeCV) and without it (scikit-learn's RidgeCV on the same features), alpha from
the same list by five folds. Relative root-mean-square test errors against the noise-free function,
medians over seeds. All three functions lie in their library: with a wrong symmetry, or a function
far from the library, the constraint could not win like this.
"""

import argparse

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from sksym import PolynomialLibrary, SymmetricRidgeCV, lorentz, permutations, so

ALPHAS = np.logspace(-8, 4, 25)
SIZES = [20, 40, 80, 160, 320, 640, 1280]


def radial(X):
    square = np.sum(X**2, axis=1)
    return square - 0.2 * square**2


def invariant_mass(X):
    """Square of the mass of two particles, (p + q)^2 times p.q, of four-momenta (E, p)."""
    metric = np.array([-1.0, 1, 1, 1])
    p, q = X[:, :4], X[:, 4:]
    return np.sum(metric * (p + q) ** 2, axis=1) * np.sum(metric * p * q, axis=1)


def sensors(X):
    """Six interchangeable sensors: the square of their mean plus their variance."""
    return np.mean(X, axis=1) ** 2 + np.var(X, axis=1) + np.mean(X, axis=1)


PROBLEMS = {
    "rotations: radial quartic in R^3": (radial, 3, 4, so(3)),
    "Lorentz: mass of two particles": (invariant_mass, 8, 4, lorentz(3).repeat(2)),
    "permutations: six sensors": (sensors, 6, 3, permutations(6)),
}


def relative_error(model, function, X):
    truth = function(X)
    return np.sqrt(np.mean((model.predict(X) - truth) ** 2) / np.var(truth))


def errors(function, d, degree, symmetry, n, seed):
    """Test errors with the symmetry and without it."""
    rng = np.random.default_rng(seed)
    X, X_test = rng.normal(size=(n, d)), rng.normal(size=(2000, d))
    y = function(X)
    y = y + 0.05 * np.std(function(X_test)) * rng.normal(size=n)
    library = PolynomialLibrary(degree)
    models = [
        SymmetricRidgeCV(symmetry, library=library, alphas=ALPHAS),
        make_pipeline(library, RidgeCV(ALPHAS, cv=5)),
    ]
    return [relative_error(model.fit(X, y), function, X_test) for model in models]


def draw(results, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(12, 3.8), sharey=True)
    for ax, (name, medians) in zip(axes, results.items(), strict=True):
        ax.loglog(SIZES, medians[:, 1], "s-", color="0.55", label="no symmetry (RidgeCV)")
        ax.loglog(SIZES, medians[:, 0], "o-", color="C3", label="symmetry enforced")
        ax.axhline(0.05, color="k", lw=0.8, ls=":")
        ax.text(SIZES[-1], 0.053, "noise", ha="right", va="bottom", fontsize=9)
        ax.set(title=name, xlabel="samples")
        ax.grid(alpha=0.25)
    axes[0].set_ylabel("relative test error")
    axes[0].legend(frameon=False, loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", default="sample_efficiency.png")
    arguments = parser.parse_args()
    results = {}
    print(f"{'relative test error':36}" + "".join(f"{n:>8}" for n in SIZES))
    for name, problem in PROBLEMS.items():
        values = [[errors(*problem, n, seed) for seed in range(arguments.seeds)] for n in SIZES]
        results[name] = np.median(values, axis=1)
        for label, row in zip(("enforced", "no symmetry"), results[name].T, strict=True):
            print(
                f"{name if label == 'enforced' else '':33}{label[:2]:3}"
                + "".join(f"{value:8.4f}" for value in row),
                flush=True,
            )
    draw(results, arguments.out)
    print(f"(en: symmetry enforced, no: without; picture in {arguments.out})")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()

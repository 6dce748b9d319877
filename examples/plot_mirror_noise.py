"""
================================================
When does training lose a parameter for good?
================================================

Write every coefficient of a linear model as a product, w = u v. The models are the same and so are
their predictions, yet training is not: the loss does not notice when u and v both change their
signs, it has a *mirror* at u = v = 0. There its gradient vanishes whatever the data say, so that no
step of gradient descent leads away. Weight decay draws training to the mirror, and so does noise:
small batches and large learning rates are enough. The outcome is structure that nobody asked for:
coefficients that are exactly zero, matrices of low rank, and models that can learn nothing new
(L. Ziyin, "Symmetry induces structure and constraint of learning", ICML 2024, figures 3 and 4).

``MirrorSGDRegressor`` trains such products. With ``remove_symmetry=True`` a weight decay pulls u
and v to a fixed random point near zero, not to zero itself. That point lies on no mirror.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sksym import MirrorSGDRegressor
from sksym.mirror import low_rank, noise_exponents

# %%
# Zeros by noise. Twenty coefficients from 0 to 0.15 are trained on one sample at a time, without
# weight decay: the learning rate alone says how much noise there is. Close to its mirror a product
# grows or shrinks at a rate that ``noise_exponents`` predicts from the slopes of single samples:
# where it is negative, the coefficient is doomed, though at small rates that takes longer than we
# train. Without products nothing is ever zero.

n, p = 400, 20
rng = np.random.default_rng(0)
X = rng.normal(size=(n, p))
X = (X - X.mean(axis=0)) / X.std(axis=0)
y = X @ np.linspace(0, 0.15, p) + 1.5 * rng.normal(size=n)
y = (y - y.mean()) / y.std()
least_squares = np.linalg.lstsq(X, y, rcond=None)[0]
left = (y - X @ least_squares)[:, None] + X * least_squares  # each coefficient alone at zero


def train_plain(rate, epochs):
    """The same descent on w itself."""
    w, rng = np.zeros(p), np.random.default_rng(0)
    for i in rng.integers(n, size=epochs * n):
        w -= rate * (X[i] @ w - y[i]) * X[i]
    return w


epochs, rates = 50, np.array([0.01, 0.02, 0.03, 0.045, 0.06, 0.08])
zeros = {"w": [], "w = u v": [], "w = u v, mirrors removed": []}
for rate in rates:
    options = {"alpha": 0.0, "learning_rate": rate, "batch_size": 1, "max_epochs": epochs}
    model = MirrorSGDRegressor(**options, random_state=0).fit(X, y)
    other = MirrorSGDRegressor(**options, remove_symmetry=True, random_state=0).fit(X, y)
    coefs = train_plain(rate, epochs), model.coef_, other.coef_
    for counts, coef in zip(zeros.values(), coefs, strict=True):
        counts.append(np.sum(coef == 0))
doomed = [np.sum(noise_exponents(-X * left, rate).max(axis=0) < 0) for rate in rates]


def print_row(name, values, form=""):
    print(f"{name:50}" + "".join(f"{value:7{form}}" for value in values))


print_row("coefficients that are zero, at the learning rate", rates, "g")
for name, counts in [*zeros.items(), ("predicted for w = u v", doomed)]:
    print_row(name, counts)

# %%
# Rank by noise. A matrix of 200 by 200 is learned as W = U V^T; the truth has full rank, its
# singular values lie between 0.05 and 1. Any rotation of the inner dimension changes nothing, and
# each has its mirror: a direction that U and V both have lost. The more noise there is in the
# targets, the more directions are drawn to it. Rank here counts singular values above 1e-8 of the
# largest: what is gone shrinks forever, what is kept from the mirrors may be small but stays.

d = 200
rng = np.random.default_rng(1)
inputs, noise = rng.normal(size=(2, 800, d))
left_side, right_side = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
matrix = left_side @ np.diag(np.linspace(0.05, 1, d)) @ right_side
levels = [0, 0.25, 0.5, 1, 2]
ranks = {"W = U V^T": [], "mirrors removed": []}
for level in levels:
    targets = inputs @ matrix + level * noise
    for name, remove in zip(ranks, (False, True), strict=True):
        model = MirrorSGDRegressor(
            low_rank(),
            alpha=0.0,
            learning_rate=0.08,
            batch_size=20,
            max_epochs=50,
            remove_symmetry=remove,
            random_state=0,
        ).fit(inputs, targets)
        U, V = model.factors_
        ranks[name].append(np.linalg.matrix_rank(U @ V.T, rtol=1e-8))

print()
print_row("rank of 200, at the noise", levels, "g")
for name, row in ranks.items():
    print_row(name, row)

# %%
# Loss of plasticity. One task follows the other: in each, four of twenty features matter, others
# than before. Under weight decay the products that are not needed come ever closer to their mirror,
# and when their turn comes they do not get away from it in time. There are two remedies: to remove
# the mirrors, or a little noise of its own in every step, which a mirror does not cancel.

tasks, seeds, features = 40, 5, 20
decay, rate, steps, batch = 0.1, 0.1, 150, 4


def stream(seed):
    """Samples and true coefficients of one task after the other."""
    rng = np.random.default_rng(seed)
    for _ in range(tasks):
        truth = np.zeros(features)
        truth[rng.choice(features, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
        X = rng.normal(size=(steps * batch, features))
        yield X, X @ truth + 0.3 * rng.normal(size=len(X)), truth


def miss(coef, truth):
    """Error of coefficients; 1: nothing is learned."""
    return np.sum((coef - truth) ** 2) / np.sum(truth**2)


def continue_training(seed, remove):
    """Epochs of one model, one for each task."""
    model = MirrorSGDRegressor(
        alpha=decay,
        learning_rate=rate,
        batch_size=batch,
        remove_symmetry=remove,
        fit_intercept=False,
        random_state=seed,
    )
    return [miss(model.partial_fit(X, y).coef_, truth) for X, y, truth in stream(seed)]


def continue_with_noise(seed, products, shake):
    """The same descent with noise in every step, or without products."""
    rng, errors = np.random.default_rng(100 + seed), []
    factors = np.full((1 + products, features), 0.1) * np.arange(1, 2 + products)[:, None]
    for X, y, truth in stream(seed):
        for A, t in zip(np.split(X, steps), np.split(y, steps), strict=True):
            slope = A.T @ (A @ factors.prod(axis=0) - t) / batch
            gradient = slope * factors[::-1] if products else slope
            factors = factors - rate * (gradient + decay * factors)
            factors += shake * rng.normal(size=factors.shape)
        errors.append(miss(factors.prod(axis=0), truth))
    return errors


arms = {
    "w": lambda seed: continue_with_noise(seed, products=False, shake=0),
    "w = u v": lambda seed: continue_training(seed, remove=False),
    "mirrors removed": lambda seed: continue_training(seed, remove=True),
    "noise in every step": lambda seed: continue_with_noise(seed, products=True, shake=0.01),
}
errors = {name: np.mean([arm(seed) for seed in range(seeds)], axis=0) for name, arm in arms.items()}

shown = [1, 2, 4, 8, 16, 40]
print()
print_row("error after the task, relative to learning nothing", shown)
for name, row in errors.items():
    print_row(name, [row[k - 1] for k in shown], ".2f")

plain, product, removed, shaken = "0.45", "tab:red", "tab:blue", "tab:green"
figure, (few, low, late) = plt.subplots(1, 3, figsize=(13.5, 4.6), layout="constrained")
few.plot(rates, doomed, "k--", lw=1, label="predicted for w = u v")
for (name, counts), color, marker in zip(
    zeros.items(), (plain, product, removed), "s^o", strict=True
):
    size = 9 if color == plain else 6
    few.plot(rates, counts, marker, ls="-", color=color, ms=size, label=name)
few.set(xlabel="learning rate", ylabel=f"zeros among {p} coefficients", title="Noise makes zeros")
few.legend(frameon=False, loc="upper left")

for row, color, marker in zip(ranks.values(), (product, removed), "^o", strict=True):
    low.plot(levels, row, marker, ls="-", color=color)
low.text(1.1, 203, "mirrors removed", color=removed)
low.text(1.05, 172, "W = U V$^T$", color=product)
low.set(xlabel="noise of the targets", ylabel="rank", title="Noise lowers the rank")
low.set_ylim(0.69 * d, 1.05 * d)

for (name, row), color in zip(errors.items(), (plain, product, removed, shaken), strict=True):
    late.plot(np.arange(1, tasks + 1), row, "-", color=color, label=name, lw=1.8)
late.set(xlabel="task", ylabel="error (1: nothing is learned)", ylim=(0, 1.08))
late.set_title("Loss of plasticity, and its remedies")
late.legend(frameon=False, loc="center right")
for ax in (few, low, late):
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("plot_mirror_noise.png", dpi=110)
print(f"picture saved as {Path('plot_mirror_noise.png').resolve()}")
plt.show()

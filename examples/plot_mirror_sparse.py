"""
========================================================
How many measurements does a forecast of diabetes need?
========================================================

Ten measurements of 442 patients, and how far their diabetes had progressed one year later. Squares
and products of the measurements might help a forecast, and that makes 64 features. But nobody pays
for features. A doctor pays for measurements: each is taken, with all the features that it is in, or
it is not.

The lasso drops features one by one. It keeps the product of two measurements as readily as a
measurement alone, and each product may cost two. So let there be a mirror for each measurement, on
which all features that contain it vanish: its own, its square, its nine products. A product is in
two of these groups. The groups overlap, and there are two readings of that. With
``overlap="latent"`` the features of a group that is kept are kept, and its products bring in all
other measurements. With ``overlap="analysis"``, the default, the features of a group that leaves
leave, and the measurement with them. That is the reading that a doctor needs. A second set of
mirrors, one for each square and product alone, lets those leave before their measurements do.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LassoCV, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import RepeatedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sksym import MirrorPathDisplay, MirrorSparseRegressorCV
from sksym.mirror import groups, mirror_path, rescaling

data, y = load_diabetes(as_frame=True, return_X_y=True)
measurements = ["age", "sex", "bmi", "pressure", "cholesterol"]
measurements += ["LDL", "HDL", "TC/HDL", "triglycerides", "glucose"]
data.columns = measurements
polynomials = PolynomialFeatures(2, include_bias=False).set_output(transform="pandas")
X = polynomials.fit_transform(data).drop(columns="sex^2")  # sex has two values, so has its square
parts = [name.replace("^2", "").split() for name in X]
needs = np.array([[one in part for one in measurements] for part in parts])
second = X.columns[10:]
print(f"{len(X)} patients, {len(measurements)} measurements, {X.shape[1]} features\n")

# %%
# All models get the same 64 features, each of variance one, and choose alpha by cross-validation.

members = [X.columns[column] for column in needs.T]
mirrors = [groups(members, weight=1.0), rescaling(second)]
alphas = np.geomspace(30, 1, 13)
scaler = StandardScaler().set_output(transform="pandas")
Z = scaler.fit_transform(X)


def taken(coef):
    """Which measurements a model with these coefficients takes."""
    return needs[np.flatnonzero(coef)].any(axis=0)


for overlap in ("latent", "analysis"):
    path = mirror_path(Z, y, groups(members), alphas=alphas, overlap=overlap)
    first = path.coefs[path.active.any(axis=1)][0]
    print(f'overlap="{overlap}": measurements in the first group to enter: {taken(first).sum()}')

# %%
# Ten times, four fifths of the patients choose everything and one fifth judges. The mirrors and the
# lasso end close to each other, and neither is far from ridge regression on the measurements alone:
# products matter little here. Nor does the best forecast drop many measurements.

ridge = RidgeCV(np.logspace(-1, 4, 30))
models = {
    "RidgeCV": (ridge, X),
    "RidgeCV, no products": (ridge, data),
    "LassoCV": (LassoCV(alphas=alphas), X),
    "mirrors": (MirrorSparseRegressorCV(mirrors, alphas=alphas), X),
}
outer = RepeatedKFold(n_splits=5, n_repeats=2, random_state=0)
score, fits = {}, {}
print(f"\n{'':22}{'R2, unseen':>12}{'better than LassoCV':>22}{'measurements':>15}")
for name, (model, features) in models.items():
    pipeline = make_pipeline(scaler, model)
    found = cross_validate(pipeline, features, y, cv=outer, scoring="r2", return_estimator=True)
    score[name], fits[name] = found["test_score"], found["estimator"]
for name in models:
    wins = f"{(score[name] > score['LassoCV']).sum()} of {len(score[name])}"
    count = np.mean([taken(fit[-1].coef_).sum() for fit in fits[name]])
    print(f"{name:22}{score[name].mean():12.3f}{wins:>22}{count:15.1f}")

# %%
# What if fewer can be paid for? Along each path take the weakest alpha that needs k measurements at
# most; the lasso is the path with default mirrors. Where measurements are scarce, its products cost
# it some. But strong penalties also shrink what they keep, and a plain method that does not is best
# there: in the last line the mirrors choose, and ridge regression fits those measurements anew,
# without products.

budgets = np.arange(2, 11)
curves = {"lasso": [], "mirrors": [], "mirrors choose, RidgeCV fits": []}
for (train, test), fit in zip(outer.split(X), fits["mirrors"], strict=True):
    A, B = fit[0].transform(X.iloc[train]), fit[0].transform(X.iloc[test])
    paths = {"lasso": mirror_path(A, y[train], alphas=alphas), "mirrors": fit[-1].path_}
    for name, path in paths.items():
        kept = np.array([taken(coef) for coef in path["coefs"]])
        last = [np.flatnonzero(kept.sum(axis=1) <= k)[-1] for k in budgets]
        predictions = path["intercepts"][last] + B.to_numpy() @ path["coefs"][last].T
        curves[name].append([r2_score(y[test], one) for one in predictions.T])
    linear = [np.flatnonzero(kept[k]) for k in last]
    again = [
        r2_score(y[test], ridge.fit(A.iloc[:, c], y[train]).predict(B.iloc[:, c])) for c in linear
    ]
    curves["mirrors choose, RidgeCV fits"].append(again)
curves = {name: np.mean(rows, axis=0) for name, rows in curves.items()}
print(f"\n{'R2, unseen, measurements at most':34}" + "".join(f"{k:6}" for k in budgets))
for name, curve in curves.items():
    print(f"{name:34}" + "".join(f"{value:6.2f}" for value in curve))

# %%
# All patients now. Where the mirrors take five measurements or fewer, what does the lasso take with
# the same alpha? Products of measurements that it does not use otherwise.

model, _ = models["mirrors"]
model.fit(Z, y)
kept = np.array([taken(coef) for coef in model.path_["coefs"]])
at = np.flatnonzero(kept.sum(axis=1) <= 5)[-1]
lasso = mirror_path(Z, y, alphas=alphas)
chosen = {"lasso": lasso.coefs[at], "mirrors": model.path_["coefs"][at]}
print(f"\nall patients, alpha = {alphas[at]:.2g}")
for name, coef in chosen.items():
    print(f"{name:8} {taken(coef).sum()} measurements, {np.count_nonzero(coef)} features: ", end="")
    print(*X.columns[coef != 0], sep=", ")


def squared(coef):
    """Measurements in the first column, beside them their squares and products, as a matrix."""
    matrix = np.zeros((10, 11))
    matrix[:, 0] = coef[:10]
    for value, need in zip(coef[10:], needs[10:], strict=True):
        i, j = np.flatnonzero(need)[[0, -1]]
        matrix[i, j + 1] = matrix[j, i + 1] = value
    return matrix


figure = plt.figure(figsize=(14, 8.4), layout="constrained")
panels = figure.add_gridspec(2, 2, width_ratios=(1, 1.3), height_ratios=(1, 1.35))
MirrorPathDisplay(
    alphas=alphas,
    norms=model.path_["norms"][:, : len(measurements)],
    active=kept,
    mirror_names=measurements,
    error=model.mse_path_.mean(axis=1),
    error_spread=model.mse_path_.std(axis=1),
    alpha=model.alpha_,
).plot(figure.add_subplot(panels[:, 0]))
ax = figure.add_subplot(panels[0, 1])
for name, color in zip(curves, ("tab:green", "tab:red", "0.45"), strict=True):
    ax.plot(budgets, curves[name], "o-", color=color, label=name)
ax.set(title="R$^2$ on unseen patients", xlabel="measurements, at most", xticks=budgets)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
both = panels[1, 1].subgridspec(1, 2)
for k, (name, coef) in enumerate(chosen.items()):
    ax, matrix = figure.add_subplot(both[k]), squared(coef)
    ax.imshow(np.where(matrix, matrix, np.nan), cmap="PuOr_r", vmin=-25, vmax=25)
    for i, j in np.argwhere(matrix):
        ax.text(j, i, f"{matrix[i, j]:.1f}", ha="center", va="center", fontsize=6.5)
    for i in np.flatnonzero(~taken(coef)):
        ax.axhspan(i - 0.5, i + 0.5, color="0.88", zorder=0)
        ax.axvspan(i + 0.5, i + 1.5, color="0.88", zorder=0)
    ax.axvline(0.5, color="k", lw=1)
    ax.set_xticks(range(11), ["alone", *measurements], rotation=90, fontsize="small")
    ax.set_yticks(range(10), measurements if k == 0 else [""] * 10, fontsize="small")
    ax.tick_params(length=0)
    ax.set_xlabel("alone, or times itself or another", fontsize="small")
    count = f"{np.count_nonzero(coef)} features of {taken(coef).sum()} measurements"
    ax.set_title(f"{name}, alpha = {alphas[at]:.2g}:\n{count}", fontsize="medium")
figure.suptitle("Ten measurements, their squares and products: which ones forecast diabetes?")
figure.savefig("plot_mirror_sparse.png", dpi=110)
print(f"picture saved as {Path('plot_mirror_sparse.png').resolve()}")
plt.show()

"""
=========================================================
Which pixels of a camera may change places, and which not
=========================================================

Every pixel of a camera's chip sees one colour: a filter in front of it is red, green or blue. The
other two are worked out from its neighbours, by a formula with a number for each of them. Take the
25 pixels around a red one: how green is the picture in the middle?

Engineers wrote that formula by hand, and took for granted that pixels with the same filter at the
same distance are sensors that may change places, so that their numbers are equal. A regression need
not take it for granted. That exchange is the mirror of a pair of coefficients, and `exchange` draws
every pair that *may* be alike to being so, exactly, unless the data object. They should: one pixel
of this chip is broken, and nobody tells the regression which.

The photographs are real, the two that come with scikit-learn. The chip is simulated: a Bayer
pattern of filters, 2 % noise, and one pixel that flickers.
"""

from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LassoCV, LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksym import MirrorPathDisplay, MirrorSparseRegressorCV
from sksym.mirror import exchange


def photograph(name):
    """Its pixels, averaged two by two, which removes most of what its own camera made up."""
    picture = load_sample_image(name) / 255
    high, wide = picture.shape[0] // 2, picture.shape[1] // 2
    return picture[: 2 * high, : 2 * wide].reshape(high, 2, wide, 2, 3).mean(axis=(1, 3))


row, column = np.indices((5, 5)).reshape(2, -1) - 2
filters = np.where((row + column) % 2, 1, np.where(row % 2, 2, 0))  # 0 red, 1 green, 2 blue
distance = row**2 + column**2
names = [f"{'RGB'[f]}{r:+d}{c:+d}" for f, r, c in zip(filters, row, column, strict=True)]
kind = np.unique([filters, distance], axis=1, return_inverse=True)[1].ravel()
pairs = [(i, j) for i, j in combinations(range(25), 2) if kind[i] == kind[j]]
broken = names.index("G+0+1")


def places(picture, n, rng):
    """Rows and columns of n shots, anywhere but at the margin."""
    return rng.integers(2, np.array(picture.shape[:2]) - 2, size=(n, 2)).T


def shots(picture, n, seed):
    """What the chip reads at n places of a picture, and the true green in the middle."""
    rng = np.random.default_rng(seed)
    r, c = places(picture, n, rng)
    X = picture[r[:, None] + row, c[:, None] + column, filters]
    X = X + 0.02 * rng.normal(size=X.shape)
    X[:, broken] += 0.3 * rng.normal(size=n)
    return pd.DataFrame(X, columns=names), picture[r, c, 1]


# %%
# The chip learns on the left half of the first photograph. It is tested on the right half, and on
# the second photograph. All regressions choose their alpha by cross-validation. "Kinds added up" is
# the engineers' assumption without a question: one number for each kind of pixel, least squares.
# The last line is their own formula (Malvar, He and Cutler, 2004), which trusts the broken pixel.
#
# On the right half, adding up is nearly as good as the mirrors; on the flower, ridge regression is
# as good, and with few shots better. Each is worse on the other test. The mirrors are good on both.

temple, flower = photograph("china.jpg"), photograph("flower.jpg")
left, right = np.split(temple, [temple.shape[1] // 2], axis=1)
models = {
    "RidgeCV": RidgeCV(np.logspace(-4, 2, 30)),
    "LassoCV": LassoCV(),
    "kinds added up": make_pipeline(
        FunctionTransformer(lambda X: X @ np.eye(kind.max() + 1)[kind]), LinearRegression()
    ),
    "mirrors": MirrorSparseRegressorCV(exchange(pairs), alphas=12, eps=1e-2),
}
tests = {"right half": shots(right, 2000, seed=100), "flower": shots(flower, 2000, seed=100)}
sizes, draws = [50, 100, 200, 400], range(5)
fits = {
    (name, n, draw): clone(model).fit(*shots(left, n, draw))
    for name, model in models.items()
    for n in sizes
    for draw in draws
}


def errors(predict):
    """Root mean squares on both tests, in per cent of white."""
    return np.array([100 * np.sqrt(np.mean((predict(X) - y) ** 2)) for X, y in tests.values()])


found = {
    name: np.mean([[errors(fits[name, n, k].predict) for n in sizes] for k in draws], axis=0).T
    for name in models
}
print(f"{len(names)} pixels of {kind.max() + 1} kinds, {len(pairs)} pairs that may change places\n")
print("error in % of white " + "".join(f"{test:^28}" for test in tests))
print(f"{'shots':20}" + 2 * "".join(f"{n:7}" for n in sizes))
for name, table in found.items():
    print(f"{name:20}" + "".join(f"{value:7.2f}" for value in table.ravel()))
hand = np.select([distance == 0, distance == 1, distance == 4], [4, 2, -1], 0) / 8
print(f"{'formula by hand':20}" + "".join(f"{value:28.2f}" for value in errors(lambda X: X @ hand)))

# %%
# For predictions, alpha is that of the least cross-validation error, which lets some pairs go that
# need not. To read off which pixels differ, take the strongest alpha that the folds do not tell
# from it: worse by one standard error of the difference at most. There "equal" means to the last
# digit.


def strongest(model):
    """Where on its path, from strong to weak alpha."""
    fold_errors = model.mse_path_
    worse = fold_errors - fold_errors[fold_errors.mean(axis=1).argmin()]
    limit = worse.std(axis=1, ddof=1) / np.sqrt(worse.shape[1])
    return np.flatnonzero(worse.mean(axis=1) <= limit)[0]


def apart(n, draw):
    """Which pairs do not hold."""
    model = fits["mirrors", n, draw]
    return model.path_["active"][strongest(model)]


guilty = np.array([broken in pair for pair in pairs])
active = np.array([[apart(n, draw) for n in sizes] for draw in draws])
convicted = active[..., guilty].all(axis=-1).sum(axis=0)
innocent = (~active[..., ~guilty]).sum(axis=-1).mean(axis=0)
print(f"\n{'shots':48}" + "".join(f"{n:7}" for n in sizes))
print(f"{f'draws of {len(draws)} with the broken pixel apart':48}", end="")
print("".join(f"{n:7}" for n in convicted))
print(f"{f'of the {(~guilty).sum()} other pairs, equal on average':48}", end="")
print("".join(f"{n:7.1f}" for n in innocent))

n = 200
ridge, mirrors = fits["RidgeCV", n, 0], fits["mirrors", n, 0]
chosen = strongest(mirrors)
chips = {"RidgeCV": ridge.coef_, "mirrors": mirrors.path_["coefs"][chosen]}
print(f"\n{n} shots, first draw, mirrors with the strongest alpha:")
for name, coef in chips.items():
    print(f"{name:10} {len(set(coef)):3} different numbers")

# %%
# As alpha falls, the broken pixel, G+0+1, leaves its kind first. The next to leave is the pixel
# opposite, G+0-1: with its counterpart blind, nothing demands that it be like those above and
# below. What remains is the symmetry that such a chip still has.

figure = plt.figure(figsize=(13.5, 8.4), layout="constrained")
grid = figure.add_gridspec(2, 3, width_ratios=(1.3, 1, 1), height_ratios=(1, 1.15))
scene = figure.add_subplot(grid[0, 0])
scene.imshow(temple)
r, c = places(left, n, np.random.default_rng(0))
scene.plot(c, r, "s", mfc="none", mec="yellow", mew=0.8, ms=4)
scene.axvline(left.shape[1], color="w", lw=2)
scene.set_title(f"{n} shots of the left half")
scene.axis("off")
colors = {"RidgeCV": "0.45", "LassoCV": "tab:green", "kinds added up": "tab:orange"}
bottom, top = np.array([0.95, 1.03]) * [min(map(np.min, found.values())), found["LassoCV"].max()]
for k, (test, picture) in enumerate(zip(tests, (right, flower), strict=True)):
    ax = figure.add_subplot(grid[0, 1 + k])
    for name, table in found.items():
        color = colors.get(name, "tab:red")
        ax.plot(sizes, table[k], "o-", color=color, label=name, lw=1 + (name == "mirrors"))
    ax.set(xscale="log", xlabel="shots", ylim=(bottom, top))
    ax.set_title(f"Error on the {test}, % of white")
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
    inset = ax.inset_axes([0.58, 0.56, 0.42, 0.42])
    inset.imshow(picture)
    inset.axis("off")
    if k == 0:
        ax.legend(frameon=False, loc="upper left", fontsize="small")

whole = figure.add_subplot(grid[1, 0])
panels = MirrorPathDisplay.from_estimator(mirrors, ax=whole).ax_
for ax in panels:
    ax.axvline(mirrors.alphas_[chosen], color="tab:red", lw=1, ls=":", label="strongest")
panels[1].legend(frameon=False, fontsize="small")
for k, (name, coef) in enumerate(chips.items()):
    ax = figure.add_subplot(grid[1, 1 + k])
    ax.imshow(coef.reshape(5, 5), cmap="PuOr_r", vmin=-0.7, vmax=0.7)
    for j, (r, c, value) in enumerate(zip(row + 2, column + 2, coef, strict=True)):
        label = f"{value:.3f}" + "\nbroken" * (j == broken)
        ink = "w" if abs(value) > 0.45 else "k"
        ax.text(c, r, label, ha="center", va="center", color=ink, fontsize="small")
        edge = ("tab:red", "tab:green", "tab:blue")[filters[j]]
        ax.add_patch(plt.Rectangle((c - 0.46, r - 0.46), 0.92, 0.92, fill=False, ec=edge, lw=2))
    ax.set_title(f"{name}: {len(set(coef))} different numbers")
    ax.axis("off")
figure.suptitle("How green is the picture at a red pixel? Ask 25 pixels, one of them broken")
figure.savefig("plot_mirror_exchange.png", dpi=110)
print(f"picture saved as {Path('plot_mirror_exchange.png').resolve()}")
plt.show()

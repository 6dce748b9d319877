"""What the displays share: axes, the two panels of a path, colours."""

import numpy as np

FOUND, OTHER, LIMIT = "tab:red", "0.6", "tab:blue"
_DOTTED = 30  # alphas; dots of more would hide the curve


def new_axes(ax, n, size=None):
    """An array of `n` axes: those given, or of a new figure of this size in inches."""
    if ax is not None:
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) < n:
            raise ValueError(f"{n} generators need {n} axes, got {len(axes)}.")
        return axes[:n]
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib, which is not installed: pip install "sksym[plot]"'
        ) from error
    columns = min(n, 3)
    rows = -(-n // columns)
    size = size or ((5.0, 3.6) if n == 1 else (3.6 * columns, 3.4 * rows))
    _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for spare in axes.ravel()[n:]:
        spare.axis("off")
    return axes.ravel()[:n]


def path_panels(ax, alphas, width=1.0, size=None):
    """Two panels, one above the other, with alpha along both: of the curves and of the error.

    They stand inside `ax`, whose older panels are removed, and take `width` of it.
    """
    frame = new_axes(ax, 1, size)[0]
    frame.axis("off")
    for old in list(frame.child_axes):
        old.remove()
    upper = frame.inset_axes([0, 0.45, width, 0.55])
    lower = frame.inset_axes([0, 0, width, 0.4], sharex=upper)
    positive = alphas[alphas > 0]
    zero = {"value": "symlog", "linthresh": positive.min(initial=1.0)}
    upper.set_xscale(**(zero if len(positive) < len(alphas) else {"value": "log"}))
    upper.tick_params(labelbottom=False)
    return upper, lower


def count_on_top(ax, alphas, counts, label):
    """Write counts above the axes, each at its alpha."""
    top = ax.secondary_xaxis("top")
    top.set_xticks(alphas, counts, fontsize="small")
    top.set_xticks([], minor=True)
    top.tick_params(length=0)
    top.set_xlabel(label, fontsize="small")


def draw_error(ax, alphas, error, spread=None):
    """The mean squared error along a path, with its spread over the folds where it has one."""
    error = np.asarray(error)
    ax.plot(alphas, error, "-", color="k", lw=1.2, marker="." if len(error) <= _DOTTED else None)
    if spread is not None:
        low, high = error + np.outer([-1, 1], spread)
        low = np.maximum(low, 0.5 * error.min())  # above zero, for the logarithm
        ax.fill_between(alphas, low, high, color="k", alpha=0.12, lw=0)
    if error.max(initial=0) > 0:
        ax.set_yscale("log")
    kind = "mean squared\nerror" if spread is None else "CV mean\nsquared error"
    ax.set(xlabel="alpha", ylabel=kind)


def can_mark(alpha, alphas):
    """Whether there is an alpha to mark on the axes of these alphas."""
    return alpha is not None and (alpha > 0 or 0 in alphas)


def mark_alpha(panels, alpha, alphas):
    """A line in every panel at the alpha that was chosen; in the last, what all lines mean."""
    if can_mark(alpha, alphas):
        for ax in panels:
            ax.axvline(alpha, color=LIMIT, lw=1, ls=":", label=f"alpha = {alpha:.2g}")
    if panels[-1].get_legend_handles_labels()[1]:
        panels[-1].legend(frameon=False, fontsize="small")

"""What the displays share: axes, the two panels of a path, colours."""

import numpy as np

SYMMETRIC = "tab:red"
OTHER = "0.6"
LIMIT = "tab:blue"
SINGLE_SIZE = (5.0, 3.6)  # inches
TILE_SIZE = (3.6, 3.4)  # inches of one of several axes
_MAX_COLUMNS = 3
_MAX_DOTS = 30  # more dots would hide the curve
_CURVE_BOTTOM = 0.45  # the panels of a path, relative to their frame
_ERROR_HEIGHT = 0.4


def new_axes(ax, n, size=None):
    """Return `n` axes in an array: those that are given, or those of a new figure.

    Parameters
    ----------
    ax : Axes, sequence of Axes or None
    n : int
    size : pair of float, default=None
        Width and height of a new figure in inches; None: by the number of axes.

    Raises
    ------
    ValueError
        If fewer than `n` axes are given.
    """
    if ax is None:
        return _axes_of_figure(n, size)
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) < n:
        raise ValueError(f"{n} generators need {n} axes, got {len(axes)}.")
    return axes[:n]


def _axes_of_figure(n, size):
    """Create a figure with `n` axes in rows of three."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib, which is not installed: pip install "sksym[plot]"'
        ) from error
    n_columns = min(n, _MAX_COLUMNS)
    n_rows = -(-n // n_columns)
    if size is None and n == 1:
        size = SINGLE_SIZE
    elif size is None:
        size = (n_columns * TILE_SIZE[0], n_rows * TILE_SIZE[1])
    _, grid = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")
    axes = grid.ravel()
    for spare in axes[n:]:
        spare.axis("off")
    return axes[:n]


def path_panels(ax, alphas, width=1.0, size=None):
    """Create two panels, one above the other, which share an axis of alphas.

    Parameters
    ----------
    ax : Axes or None
        The frame of both panels; panels of an earlier picture are removed. None: a new figure.
    alphas : ndarray of shape (a,)
    width : float, default=1.0
        Width of the panels relative to the frame.
    size : pair of float, default=None
        Width and height of a new figure in inches.

    Returns
    -------
    upper, lower : Axes
        For the curves, and for the error.
    """
    frame = new_axes(ax, 1, size)[0]
    frame.axis("off")
    for old_panel in list(frame.child_axes):
        old_panel.remove()
    upper = frame.inset_axes([0, _CURVE_BOTTOM, width, 1 - _CURVE_BOTTOM])
    lower = frame.inset_axes([0, 0, width, _ERROR_HEIGHT], sharex=upper)
    positive = alphas[alphas > 0]
    if len(positive) == len(alphas):
        upper.set_xscale("log")
    else:
        # Linear between zero and the smallest positive alpha, so that alpha = 0 has a place.
        upper.set_xscale("symlog", linthresh=positive.min(initial=1.0))
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
    """Draw the mean squared error (a,) along a path, and its spread (a,) over the folds."""
    error = np.asarray(error)
    marker = "." if len(error) <= _MAX_DOTS else None
    ax.plot(alphas, error, "-", color="k", lw=1.2, marker=marker)
    label = "mean squared\nerror"
    if spread is not None:
        label = "CV mean\nsquared error"
        low = np.maximum(error - spread, 0.5 * error.min())  # above zero, for the logarithm
        ax.fill_between(alphas, low, error + spread, color="k", alpha=0.12, lw=0)
    if error.max(initial=0) > 0:
        ax.set_yscale("log")
    ax.set_xlabel("alpha")
    ax.set_ylabel(label)


def can_mark(alpha, alphas):
    """Whether there is an alpha to mark on the axes of these alphas."""
    return alpha is not None and (alpha > 0 or 0 in alphas)


def mark_alpha(panels, alpha, alphas):
    """Draw a line in every panel at the chosen alpha; the last panel gets the legend."""
    if can_mark(alpha, alphas):
        for ax in panels:
            ax.axvline(alpha, color=LIMIT, lw=1, ls=":", label=f"alpha = {alpha:.2g}")
    _, labels = panels[-1].get_legend_handles_labels()
    if labels:
        panels[-1].legend(frameon=False, fontsize="small")

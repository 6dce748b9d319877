"""State of objects that is saved as arrays and plain containers: no types that need trust."""

from functools import cached_property

from scipy import sparse

_PARTS = "data", "indices", "indptr", "shape"  # what a compressed sparse array is made of
_ROWS = "compressed sparse rows"


class PlainState:
    """Save sparse arrays among the attributes as their parts.

    Formats such as that of skops load arrays, numbers and plain containers without asking whether
    their types are trusted; sparse arrays are none of these. Cached properties, which may refer to
    the object itself, are computed anew.
    """

    def __getstate__(self):
        """Return the attributes, sparse arrays as dictionaries of their parts."""
        state = {}
        for name, value in vars(self).items():
            is_cache = isinstance(getattr(type(self), name, None), cached_property)
            if not is_cache:
                state[name] = _to_plain(value)
        return state

    def __setstate__(self, state):
        """Set the attributes, frozen ones too."""
        attributes = vars(self)
        for name, value in state.items():
            attributes[name] = _from_plain(value)


def _to_plain(value):
    """Return the parts of a csr_array, and all else as it is."""
    if not isinstance(value, sparse.csr_array):
        return value
    parts = [getattr(value, part) for part in _PARTS]
    return {_ROWS: parts}


def _from_plain(value):
    """Return the csr_array of parts, and all else as it is."""
    if not isinstance(value, dict) or set(value) != {_ROWS}:
        return value
    data, indices, indptr, shape = value[_ROWS]
    return sparse.csr_array((data, indices, indptr), shape=tuple(shape))

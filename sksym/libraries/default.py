"""The library that estimators take where none is given."""

from sksym.libraries.polynomial import PolynomialLibrary


class DefaultLibrary:
    """An estimator whose `library` is ``PolynomialLibrary(2)`` where it is None."""

    def set_params(self, **params):
        """Set parameters; ``library__degree`` and the like reach the default library too."""
        is_nested = any(name.startswith("library__") for name in params)
        if is_nested and params.get("library", self.library) is None:
            params = {**params, "library": PolynomialLibrary(2)}
        return super().set_params(**params)

"""Measured and computed data whose symmetries are known.

Every loader returns a :class:`~sklearn.utils.Bunch` with `data`, one sample in each row, and
`target` where there is a function to learn.
"""

import numpy as np
from numpy.polynomial import chebyshev
from sklearn.utils import Bunch

# name here: (name in the ephemeris, sidereal period in Julian years)
_PLANETS = {
    "Mercury": ("mercury", 0.240847),
    "Venus": ("venus", 0.615197),
    "Earth": ("earthmoon", 1.000017),
    "Mars": ("mars", 1.880848),
    "Jupiter": ("jupiter", 11.862615),
    "Saturn": ("saturn", 29.447498),
}
_JULIAN_YEAR = 365.25  # days
_OBLIQUITY = np.deg2rad(84381.448 / 3600)  # of the ecliptic of J2000


def _barycentric_motion(ephemeris, body, days):
    """Return position and its first two time derivatives, (3, n, 3), in km and days.

    The axes of the array are the order of the derivative, the sample and the spatial axis.
    """
    coefficients, days_per_set, polynomials, _ = ephemeris.compute_bundle(body, days)
    tau = polynomials[1]  # time within its interval, from -1 to 1
    motion = []
    for order in range(3):
        unit = (2 / days_per_set) ** order  # of tau, which runs through an interval of length 2
        series = unit * chebyshev.chebder(coefficients, order, axis=-1)
        degree = series.shape[-1] - 1
        basis = chebyshev.chebvander(tau, degree)
        # x: spatial axis, n: sample, k: degree of the polynomial
        motion.append(np.einsum("xnk,nk->nx", series, basis))
    return np.array(motion)


def load_polar_motion():
    """Load the measured motion of the Earth's pole, day by day since 1962.

    The pole is the point where the axis of rotation meets the surface. The positions are those
    of the International Earth Rotation Service (series EOP 20 C04).

    Returns
    -------
    motion : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n, 2)
            Position of the pole in milliseconds of arc (31 mm on the ground), along the meridian
            of Greenwich and along that of 90 degrees east. Seen from above the Arctic, the second
            axis is counterclockwise from the first.
        time : ndarray of shape (n,)
            Modified Julian date in days.

    Raises
    ------
    ImportError
        If the optional package `astropy-iers-data` is missing.

    References
    ----------
    C. Bizouard, S. Lambert, C. Gattano, O. Becker, J.-Y. Richard, *The IERS EOP 14C04 solution for
    Earth orientation parameters*, Journal of Geodesy 93 (2019).
    """
    try:
        import astropy_iers_data
    except ImportError as error:
        raise ImportError(
            "load_polar_motion reads the package astropy-iers-data, which is not installed: "
            'pip install -e ".[examples]"'
        ) from error

    table = np.loadtxt(astropy_iers_data.IERS_B_FILE, comments="#", usecols=(4, 5, 6))
    # The series counts its second coordinate westwards and in seconds.
    return Bunch(data=table[:, 1:] * [1000.0, -1000.0], time=table[:, 0])


def load_planets(n_samples=400, *, start=2451545.0):
    """Load one revolution of Mercury to Saturn about the Sun from the ephemeris JPL DE421.

    Positions are those of the planets (of the Earth-Moon barycentre for the Earth) relative to
    the Sun. Velocities and accelerations are the exact derivatives of the Chebyshev series of the
    ephemeris, without finite differences. They include the attraction of the planets on each other
    and on the Sun, a deviation from Kepler's problem of up to 0.5 % of the acceleration (Saturn).

    Parameters
    ----------
    n_samples : int, default=400
        Samples of each planet, at equal steps of time over one sidereal period.
    start : float, default=2451545.0
        Julian date (TDB) of the first sample; the default is J2000.0. The ephemeris covers the
        years 1899 to 2053, and Saturn needs 29.4 of them.

    Returns
    -------
    planets : :class:`~sklearn.utils.Bunch`
        The rows are ordered by planet, then by time.

        data : ndarray of shape (6 * n_samples, 3)
            Positions in astronomical units (AU), axes of the ecliptic and equinox J2000.
        target : ndarray of shape (6 * n_samples, 3)
            Accelerations in AU / year^2 (Julian years), same axes.
        velocity : ndarray of shape (6 * n_samples, 3)
            Velocities in AU / year.
        time : ndarray of shape (6 * n_samples,)
            Years since `start`.
        swept : ndarray of shape (6 * n_samples,)
            Ecliptic longitude swept since `start`, in degrees, from 0 to about 360.
        planet : ndarray of shape (6 * n_samples,)
            Index into `planet_names`.
        planet_names : list of str
        period : ndarray of shape (6,)
            Sidereal periods in years.

    Raises
    ------
    ImportError
        If the optional packages `jplephem` and `de421` are missing.

    References
    ----------
    W. M. Folkner, J. G. Williams, D. H. Boggs, *The planetary and lunar ephemeris DE 421*,
    IPN Progress Report 42-178 (2009).
    """
    try:
        import de421
        from jplephem.ephem import Ephemeris
    except ImportError as error:
        raise ImportError(
            "load_planets reads the packages de421 and jplephem, which are not both installed: "
            'pip install -e ".[examples]"'
        ) from error

    ephemeris = Ephemeris(de421)
    cos = np.cos(_OBLIQUITY)
    sin = np.sin(_OBLIQUITY)
    to_ecliptic = np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])
    # From km and days to AU and years, for position, velocity and acceleration.
    days_per_year = np.array([1.0, _JULIAN_YEAR, _JULIAN_YEAR**2])
    units = days_per_year[:, None, None] / ephemeris.AU

    motions = []
    times = []
    angles = []
    for body, period in _PLANETS.values():
        time = np.linspace(0.0, period, n_samples, endpoint=False)
        days = start + time * _JULIAN_YEAR
        motion = _barycentric_motion(ephemeris, body, days)
        motion -= _barycentric_motion(ephemeris, "sun", days)
        motion = motion @ to_ecliptic.T * units
        x, y, _ = motion[0].T
        longitude = np.unwrap(np.arctan2(y, x))
        motions.append(motion)
        times.append(time)
        angles.append(np.rad2deg(longitude - longitude[0]))
    position, velocity, acceleration = np.concatenate(motions, axis=1)
    return Bunch(
        data=position,
        target=acceleration,
        velocity=velocity,
        time=np.concatenate(times),
        swept=np.concatenate(angles),
        planet=np.repeat(np.arange(len(_PLANETS)), n_samples),
        planet_names=list(_PLANETS),
        period=np.array([period for _, period in _PLANETS.values()]),
    )

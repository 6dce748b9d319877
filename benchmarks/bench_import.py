"""What `import sksym` costs beside scikit-learn's linear models and scipy's sparse solvers.

Fresh interpreters in turn, medians; the goal is a ratio of at most 1.15.
"""

import argparse
import subprocess
import sys

import numpy as np

CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
STATEMENTS = ["sksym", "sklearn.linear_model, scipy.sparse.linalg"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    times = [
        [
            float(subprocess.check_output([sys.executable, "-c", CODE.format(statement)]))
            for statement in STATEMENTS
        ]
        for _ in range(repeats + 1)
    ]
    medians = np.median(times[1:], axis=0)
    for statement, seconds in zip(STATEMENTS, medians, strict=True):
        print(f"import {statement:45}{seconds:8.3f} s")
    print(f"ratio {medians[0] / medians[1]:.3f}")


if __name__ == "__main__":
    main()

"""scipy's linear_sum_assignment on the matrices of files named on standard input: milliseconds and cost of each."""

import sys
import time

import numpy
from scipy.optimize import linear_sum_assignment

for line in sys.stdin:
    cost = numpy.load(line.strip())
    start = time.perf_counter()
    rows, columns = linear_sum_assignment(cost)
    seconds = time.perf_counter() - start
    print(1e3 * seconds, cost[rows, columns].sum(), flush=True)

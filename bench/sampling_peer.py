"""A sampler's loop, as PyTorch's users write it. Driven by Bench.Sampling over standard input and output:

    sampling_peer.py SAMPLER STEPS CASE BATCH SETTINGS...      SAMPLER is heun or dpmpp-2m; the rest is peer.py's

It samples one batch and says `ready PARAMETERS THREADS VERSION CPU`; for every N read it samples N more and says `WALL CPU VALUE`
(for a line that is no number, one).
"""

import math
import sys
import time

import torch

from peer import made


def heun(model, x, steps):
    """dx/dt = v from t = 1 to 0, two evaluations a step."""
    h = -1.0 / steps
    for k in range(steps):
        t = 1.0 + k * h
        first = model(torch.full((x.shape[0],), t), x)
        second = model(torch.full((x.shape[0],), max(t + h, 0.0)), x + h * first)
        x = x + 0.5 * h * (first + second)
    return x


def dpmpp_2m(model, x, steps):
    """DPM-Solver++(2M) on x_t = (1 - t) x_0 + t e, the network a velocity: even steps in lambda, the last one to the data."""
    low, high = 1e-3, 1 - 1e-3
    log_snr = lambda t: math.log((1 - t) / t)
    times = [1 / (1 + math.exp(log_snr(high) + k / (steps - 1) * (log_snr(low) - log_snr(high)))) for k in range(steps)]
    before, last = None, None
    for k, t in enumerate(times):
        data = x - t * model(torch.full((x.shape[0],), t), x)
        if k == steps - 1:
            return data
        s = times[k + 1]
        h = log_snr(s) - log_snr(t)
        mixed = data
        if before is not None:
            r = last / h
            mixed = (1 + 1 / (2 * r)) * data - 1 / (2 * r) * before
        x = s / t * x - (1 - s) * math.expm1(-h) * mixed
        before, last = data, h


samplers = {"heun": heun, "dpmpp-2m": dpmpp_2m}


def main():
    sample, steps, case, batch = samplers[sys.argv[1]], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    model, data = made(case, batch, sys.argv[5:])
    model.eval()

    with torch.no_grad():
        value = sample(model, data, steps).mean().item()
        parameters = sum(p.numel() for p in model.parameters())
        print("ready", parameters, torch.get_num_threads(), torch.__version__, time.process_time(), flush=True)
        for line in sys.stdin:
            start, cpu = time.perf_counter(), time.process_time()
            for _ in range(int(line) if line.strip().isdigit() else 1):
                value = sample(model, data, steps).mean().item()
            print(time.perf_counter() - start, time.process_time() - cpu, value, flush=True)


if __name__ == "__main__":
    main()

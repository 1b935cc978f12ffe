"""The log-likelihood of a flow with the exact divergence, as PyTorch's users write it: one autograd call for each dimension. Driven by Bench.Likelihood over
standard input and output:

    likelihood_peer.py DIMENSION WIDTH DEPTH BATCH STEPS THREADS create|retain

`create` builds a graph of each derivative (create_graph=True, as FFJORD's and flow_matching's loops do); `retain` only keeps the one there is. It makes one
likelihood and says `ready VERSION`; for every line read it makes another and says `WALL VALUE`.
"""

import math
import sys
import time

import torch

from peer import Mlp


def main():
    dimension, width, depth, batch, steps, threads = map(int, sys.argv[1:7])
    create = sys.argv[7] == "create"
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = Mlp(dimension, width, depth)
    for p in model.parameters():
        p.requires_grad_(False)
    data = torch.randn(batch, dimension)

    def field(t, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            v = model(torch.full((batch,), t), x)
            divergence = torch.zeros(batch)
            for i in range(dimension):
                keep = dict(create_graph=True) if create else dict(retain_graph=True)
                divergence = divergence + torch.autograd.grad(v[:, i].sum(), x, **keep)[0][:, i].detach()
        return v.detach(), divergence

    def likelihood():
        x, ell, h = data, torch.zeros(batch), 1.0 / steps
        for k in range(steps):
            t = k * h
            v1, d1 = field(t, x)
            v2, d2 = field(t + h / 2, x + h / 2 * v1)
            v3, d3 = field(t + h / 2, x + h / 2 * v2)
            v4, d4 = field(t + h, x + h * v3)
            x = x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
            ell = ell + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        return -0.5 * (x**2).sum(1) - 0.5 * dimension * math.log(2 * math.pi) + ell

    value = likelihood().mean().item()
    print("ready", torch.__version__, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        value = likelihood().mean().item()
        print(time.perf_counter() - start, value, flush=True)


if __name__ == "__main__":
    main()

"""The same training step in PyTorch, as its users write it. Driven by Bench.Compare over standard input and output:

    peer.py CASE BATCH SETTINGS...      CASE is mlp or unet; SETTINGS are name=value, those of the network under test

It makes one step and says `ready PARAMETERS THREADS VERSION CPU`; then, for every N read, it makes N steps and says
`WALL CPU LOSS` (seconds, seconds, the last loss).
"""

import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Mlp(nn.Module):
    def __init__(self, dimension, width, depth):
        super().__init__()
        sizes = [dimension + 1] + [width] * depth
        layers = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            layers += [nn.Linear(inputs, outputs), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, dimension))

    def forward(self, t, x):
        return self.layers(torch.cat([x, t[:, None]], dim=1))


class Block(nn.Module):
    def __init__(self, embedding, inputs, outputs, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(embedding, 2 * outputs)
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, emb, x):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


class Attention(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).chunk(3, dim=2)
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(x.shape[1]), dim=-1)
        return x + self.out(weights @ v).transpose(1, 2).reshape(x.shape)


class Unet(nn.Module):
    def __init__(self, channels, patch, width, multipliers, blocks, attention, groups):
        super().__init__()
        widths = [width * m for m in multipliers]
        embedding, pixels, self.patch = 4 * width, channels * patch * patch, patch
        count = max(1, width // 2)
        cells = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        self.register_buffer("frequencies", 2 * math.pi * math.sqrt(2) * torch.erfinv(cells))
        self.time1 = nn.Linear(2 * count, embedding)
        self.time2 = nn.Linear(embedding, embedding)
        self.stem = nn.Conv2d(pixels, width, 3, padding=1)
        seen, current = [width], width
        self.down, self.halving = nn.ModuleList(), nn.ModuleList()
        attend = lambda level: Attention(widths[level], groups) if level in attention else nn.Identity()
        for level in range(len(widths)):
            layers = nn.ModuleList()
            for _ in range(blocks):
                layers.append(nn.ModuleList([Block(embedding, current, widths[level], groups), attend(level)]))
                current = widths[level]
                seen.append(current)
            self.down.append(layers)
            if level < len(widths) - 1:
                self.halving.append(nn.Conv2d(current, current, 3, stride=2, padding=1))
                seen.append(current)
        self.middle1 = Block(embedding, current, current, groups)
        self.middle_attention = Attention(current, groups)
        self.middle2 = Block(embedding, current, current, groups)
        self.up, self.doubling = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths))):
            layers = nn.ModuleList()
            for _ in range(blocks + 1):
                block = Block(embedding, current + seen.pop(), widths[level], groups)
                layers.append(nn.ModuleList([block, attend(level)]))
                current = widths[level]
            self.up.append(layers)
            if level > 0:
                self.doubling.append(nn.Conv2d(current, current, 3, padding=1))
        self.norm = nn.GroupNorm(groups, current)
        self.output = nn.Conv2d(current, pixels, 3, padding=1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, t, x):
        angle = t.double()[:, None] * self.frequencies
        features = torch.cat([angle.sin(), angle.cos()], dim=1).to(x.dtype)
        emb = F.silu(self.time2(F.silu(self.time1(features))))
        h = self.stem(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        kept = [h]
        for level, layers in enumerate(self.down):
            for block, attention in layers:
                h = attention(block(emb, h))
                kept.append(h)
            if level < len(self.halving):
                h = self.halving[level](h)
                kept.append(h)
        h = self.middle2(emb, self.middle_attention(self.middle1(emb, h)))
        for level, layers in enumerate(self.up):
            for block, attention in layers:
                h = attention(block(emb, torch.cat([h, kept.pop()], dim=1)))
            if level < len(self.doubling):
                h = self.doubling[level](F.interpolate(h, scale_factor=2, mode="nearest"))
        h = self.output(F.silu(self.norm(h)))
        return F.pixel_shuffle(h, self.patch) if self.patch > 1 else h


def made(case, batch, arguments):
    """The network of a case and a batch of noise, by settings as name=value."""
    settings = dict(argument.split("=") for argument in arguments)
    number = lambda name: int(settings[name])
    numbers = lambda name: [int(word) for word in settings[name].split()]
    torch.set_num_threads(number("threads"))
    torch.manual_seed(0)
    if case == "mlp":
        return Mlp(number("dimension"), number("width"), number("depth")), torch.randn(batch, number("dimension"))
    model = Unet(
        number("channels"),
        number("patch"),
        number("width"),
        numbers("multipliers"),
        number("blocks"),
        numbers("attention"),
        number("groups"),
    )
    return model, torch.randn(batch, number("channels"), 28, 28)


def main():
    case, batch = sys.argv[1], int(sys.argv[2])
    model, data = made(case, batch, sys.argv[3:])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step():
        t = torch.rand(batch)
        noise = torch.randn_like(data)
        s = t.view(-1, *[1] * (data.dim() - 1))
        x = (1 - s) * data + s * noise
        loss = F.mse_loss(model(t, x), noise - data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step()
    parameters = sum(p.numel() for p in model.parameters())
    print("ready", parameters, torch.get_num_threads(), torch.__version__, time.process_time(), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            loss = step()
        print(time.perf_counter() - wall, time.process_time() - cpu, loss.item(), flush=True)


if __name__ == "__main__":
    main()

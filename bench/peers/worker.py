#!/usr/bin/env python3
"""Measures other libraries for `npm run bench:peers`: one JSON task a line on standard input, one JSON answer a line on standard output.

    {"net": "rs64x1", "peer": "BackPACK", "quantity": "exact diagonal", "images": 100, "classes": 10}
    -> {"seconds": ..., "norm": ...}       norm: of the result, to be compared with the library's
    {"about": true} -> versions and threads
What a task needs (net, operators) is made once and kept; the first run of a task is not the one to trust.
"""
import functools
import json
import os
import pathlib
import sys
import time
from importlib.metadata import version

import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "test" / "fixtures" / "peers"))
from formula import parameter, uniform  # noqa: E402
from nets import NETS  # noqa: E402

PACKAGES = ["torch", "backpack-for-pytorch", "curvlinops-for-pytorch", "numpy"]
# what one batch of BackPACK and of per-image Jacobians holds
BATCH = 20
torch.set_num_threads(os.cpu_count())


class Subject:
    """A net with parameters by formula, images and one-hot targets, as in the library's benchmark."""

    def __init__(self, name, images, classes, fused=True):
        self.net = NETS[name](classes).eval()
        state = self.net.state_dict()
        for key, value in state.items():
            if value.is_floating_point():
                state[key] = torch.from_numpy(parameter(key, tuple(value.shape))).float()
        self.net.load_state_dict(state)
        for module in self.net.modules():
            if hasattr(module, "fused"):
                module.fused = fused
        height, width, channels = self.net.input
        x = torch.from_numpy(2 * uniform("images", images * height * width * channels)).float()
        self.x = x.reshape(images, height, width, channels).permute(0, 3, 1, 2).contiguous()
        labels = torch.arange(images) % classes
        self.y = nn.functional.one_hot(labels, classes).float()
        self.loss = nn.MSELoss()
        named = dict(self.net.named_parameters())
        self.weights = {k: p for k, p in named.items() if p.dim() in (2, 4) and not k.startswith("head.")}

    def only_weights(self):
        for p in self.net.parameters():
            p.requires_grad_(False)
        for p in self.weights.values():
            p.requires_grad_(True)
        return self


def forward(images_of):
    s = images_of()

    @torch.no_grad()
    def run():
        return [s.net(s.x)]

    return run


def gradient(images_of):
    s = images_of().only_weights()
    return lambda: torch.autograd.grad(s.loss(s.net(s.x), s.y), list(s.weights.values()))


def backpack_diagonal(images_of):
    from backpack import backpack, extend
    from backpack.extensions import DiagGGNExact

    s = images_of().only_weights()
    net, loss = extend(s.net, use_converter=True), extend(s.loss)
    weights = [p for p in net.parameters() if p.requires_grad]

    def run():
        total = [torch.zeros_like(p) for p in weights]
        for x, y in zip(s.x.split(BATCH), s.y.split(BATCH)):
            net.zero_grad()
            with backpack(DiagGGNExact()):
                loss(net(x), y).backward()
            for sum_, p in zip(total, weights):
                sum_ += p.diag_ggn_exact * (len(x) / len(s.x))
                del p.diag_ggn_exact
        return total

    return run


def jacobian_diagonal(images_of):
    s = images_of(fused=False)
    weights = {k: p.detach() for k, p in s.weights.items()}

    def outputs(weights, image):
        return functional_call(s.net, weights, (image[None],))[0]

    jacobian = vmap(jacrev(outputs), (None, 0))

    @torch.no_grad()
    def run():
        total = {k: torch.zeros_like(p) for k, p in weights.items()}
        for x in s.x.split(BATCH):
            for key, rows in jacobian(weights, x).items():
                total[key] += rows.flatten(0, 1).square_().sum(0)
        return [2 / s.y.numel() * t for t in total.values()]

    return run


def operator(kind, s, params):
    import curvlinops

    return getattr(curvlinops, kind)(s.net, s.loss, params, [(s.x, s.y)], check_deterministic=False)


def curvlinops_product(kind, images_of):
    s = images_of(fused=False)
    weights = list(s.weights.values())
    whole = operator(kind, s, weights)
    v = [p.detach() for p in weights]
    return lambda: whole @ v


def curvlinops_blocks(images_of):
    s = images_of(fused=False)
    blocks = [(operator("GGNLinearOperator", s, [p]), [p.detach()]) for p in s.weights.values()]
    return lambda: [(block @ v)[0] for block, v in blocks]


def autograd_hessian_product(images_of):
    s = images_of(fused=False).only_weights()
    weights = list(s.weights.values())

    def run():
        gradient = torch.autograd.grad(s.loss(s.net(s.x), s.y), weights, create_graph=True)
        return torch.autograd.grad(gradient, weights, [p.detach() for p in weights])

    return run


def finetuning_step(images_of):
    """SGD with momentum and weight decay on everything but the head; norms frozen; removed weights set to zero after the step."""
    s = images_of()
    for p in s.net.head.parameters():
        p.requires_grad_(False)
    trained = [p for p in s.net.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1e-9, momentum=0.9, weight_decay=1e-4)
    masks = [(p, torch.ones_like(p)) for p in s.weights.values()]

    def run():
        optimiser.zero_grad()
        s.loss(s.net(s.x), s.y).backward()
        optimiser.step()
        with torch.no_grad():
            for p, mask in masks:
                p.mul_(mask)
        return []

    return run


MAKERS = {
    ("torch", "forward"): forward,
    ("torch", "gradient"): gradient,
    ("BackPACK", "exact diagonal"): backpack_diagonal,
    ("torch.func", "exact diagonal"): jacobian_diagonal,
    ("curvlinops", "block product, all layers"): curvlinops_blocks,
    ("curvlinops", "Gauss-Newton-vector product"): functools.partial(curvlinops_product, "GGNLinearOperator"),
    ("curvlinops", "Hessian-vector product"): functools.partial(curvlinops_product, "HessianLinearOperator"),
    ("torch", "Hessian-vector product"): autograd_hessian_product,
    ("torch", "fine-tuning step"): finetuning_step,
}


@functools.lru_cache(maxsize=1)
def made(net, peer, quantity, images, classes):
    return MAKERS[peer, quantity](functools.partial(Subject, net, images, classes))


def answer(task):
    if task.get("about"):
        return {"threads": torch.get_num_threads(), **{name: version(name) for name in PACKAGES}}
    run = made(*(task[key] for key in ("net", "peer", "quantity", "images", "classes")))
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    norm = sum(t.detach().double().square().sum().item() for t in result) ** 0.5
    return {"seconds": seconds, "norm": norm}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)

"""Equilibrium propagation on an MLP in plain PyTorch: what benchmarks/compare
holds eqprop against.

Written the way the method is usually first written: the scalar primitive
function Phi is formed at every time step and autograd gives its derivative by
the states (the dynamics) and by the parameters (the update). float32.
"""

import gzip
import os
import struct
import sys
import time

import torch
from torch.nn import functional


def mysig(u):
    return 1 / (1 + torch.exp(-4 * (u - 0.5)))


class Network(torch.nn.Module):
    """s <- act(dPhi/ds), with Phi from the subclass's phi()."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def relax(self, x, y, states, steps, beta, criterion):
        for _ in range(steps):
            phi = self.phi(x, y, states, beta, criterion)
            ones = torch.tensor([1.0] * x.size(0), device=x.device)
            drives = torch.autograd.grad(phi, states, grad_outputs=ones)
            states = [self.act(u).detach().requires_grad_(True) for u in drives]
        return states

    def set_gradient(self, x, y, first, first_beta, second, second_beta, criterion):
        self.zero_grad()
        phi = self.phi(x, y, first, first_beta, criterion).mean()
        phi_second = self.phi(x, y, second, second_beta, criterion).mean()
        ((phi - phi_second) / (second_beta - first_beta)).backward()


class Mlp(Network):
    def __init__(self, sizes):
        super().__init__(mysig)
        self.synapses = torch.nn.ModuleList(
            torch.nn.Linear(m, n) for m, n in zip(sizes[:-1], sizes[1:]))

    def phi(self, x, y, states, beta, criterion):
        layers = [x.view(x.size(0), -1)] + states
        phi = 0.0
        for i, synapse in enumerate(self.synapses):
            phi = phi + torch.sum(synapse(layers[i]) * layers[i + 1], dim=1)
        if beta != 0.0:
            y_hot = functional.one_hot(y, num_classes=states[-1].size(1)).to(x.dtype)
            phi = phi - beta * 0.5 * criterion(layers[-1], y_hot).sum(dim=1)
        return phi

    def zero_states(self, x):
        return [torch.zeros(x.size(0), s.out_features, requires_grad=True)
                for s in self.synapses]


class Training:
    def __init__(self, free_steps=30, nudged_steps=10, beta=0.1, rate=5e-4, seed=0):
        torch.manual_seed(seed)
        self.model = Mlp([784, 512, 10])
        self.optimizer = torch.optim.Adam(
            [{"params": synapse.parameters(), "lr": rate} for synapse in self.model.synapses])
        self.criterion = torch.nn.MSELoss(reduction="none")
        self.free_steps, self.nudged_steps, self.beta = free_steps, nudged_steps, beta

    def step(self, x, y):
        """One minibatch. Returns the loss and the number right at the free state."""
        zero = self.model.zero_states(x)
        free = self.model.relax(x, y, zero, self.free_steps, 0.0, self.criterion)
        with torch.no_grad():
            right = (torch.argmax(free[-1], dim=1) == y).sum().item()
            y_hot = functional.one_hot(y, num_classes=10).to(x.dtype)
            loss = 0.5 * self.criterion(free[-1], y_hot).sum(dim=1).mean().item()
        nudged = self.model.relax(x, y, free, self.nudged_steps, self.beta, self.criterion)
        self.model.set_gradient(x, y, free, 0.0, nudged, self.beta, self.criterion)
        self.optimizer.step()
        return loss, right

    def evaluate(self, batches):
        right = 0
        for x, y in batches:
            states = self.model.relax(x, y, self.model.zero_states(x), self.free_steps, 0.0,
                                      self.criterion)
            right += (torch.argmax(states[-1], dim=1) == y).sum().item()
        return right


def synthetic_input(batch=50, width=784):
    """The input of eqprop_step.h."""
    b = torch.arange(batch, dtype=torch.float64).unsqueeze(1)
    i = torch.arange(width, dtype=torch.float64).unsqueeze(0)
    return (torch.sin(0.05 * (b + 1) * i + b) * 0.5 + 0.5).to(torch.float32)


def synthetic_labels(step, batch=50, classes=10):
    return (torch.arange(batch) * 7 + step) % classes


def read_idx(root, name):
    for folder in (root, os.path.join(root, "MNIST", "raw")):
        for path, opener in ((os.path.join(folder, name), open),
                             (os.path.join(folder, name + ".gz"), gzip.open)):
            if os.path.exists(path):
                with opener(path, "rb") as file:
                    content = file.read()
                dims = content[3]
                shape = struct.unpack(">%di" % dims, content[4:4 + 4 * dims])
                data = torch.frombuffer(bytearray(content[4 + 4 * dims:]), dtype=torch.uint8)
                return data.view(shape)
    sys.exit("%s: no %s or %s.gz" % (root, name, name))


class Digits(torch.utils.data.Dataset):
    """One image at a time, bytes to floats in [0, 1], as torchvision's loaders do."""

    def __init__(self, root, prefix):
        self.images = read_idx(root, prefix + "-images-idx3-ubyte")
        self.labels = read_idx(root, prefix + "-labels-idx1-ubyte")

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index].unsqueeze(0).to(torch.float32).div(255)
        return image.sub(0.0).div(1.0), int(self.labels[index])


def train(root, epochs, seed):
    """The authors' MNIST script: two layers, batch 50, test after each epoch."""
    training = Training(seed=seed)
    loader = torch.utils.data.DataLoader(Digits(root, "train"), batch_size=50, shuffle=True)
    test = torch.utils.data.DataLoader(Digits(root, "t10k"), batch_size=200)
    for _ in range(epochs):
        for x, y in loader:
            training.step(x, y)
        print("%.4f" % (training.evaluate(test) / len(test.dataset)), flush=True)


def serve():
    """Answers "steps N" on standard input with "SECONDS LAST_LOSS"."""
    training = Training()
    x = synthetic_input()
    number = 0
    for line in sys.stdin:
        count = int(line.split()[1])
        start = time.perf_counter()
        for _ in range(count):
            loss, _ = training.step(x, synthetic_labels(number))
            number += 1
        print("%.9g %.9g" % (time.perf_counter() - start, loss), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    if sys.argv[1] == "serve":
        serve()
    else:
        train(sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))

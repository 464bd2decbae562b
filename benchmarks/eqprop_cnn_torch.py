"""Equilibrium propagation on a convolutional network in plain PyTorch: what
`benchmarks/compare cnn` holds eqprop against.

Written the way the method is usually first written: the scalar primitive
function Phi is formed at every time step, first layer included, and autograd
gives its derivative by the states (the dynamics) and by the parameters (the
update); the two nudged phases run one after the other. float32.

    eqprop_cnn_torch.py THREADS SETTING
"""

import sys
import time

import torch
from torch.nn import functional

from eqprop_torch import Network


def hard_sigmoid(u):
    return (1 + functional.hardtanh(2 * u - 1)) * 0.5


def my_hard_sig(u):
    return (1 + functional.hardtanh(u - 1)) * 0.5


# The settings of eqprop_cnn_step.cc.
SETTINGS = {
    "mnist": dict(size=28, channels=[1, 32, 64], kernel=5, paddings=[0, 0], act=hard_sigmoid,
                  batch=100, free=200, nudged=10, beta=0.4, symmetric=False),
    "narrow": dict(size=32, channels=[3, 16, 32, 64, 64], kernel=3, paddings=[1, 1, 1, 0],
                   act=my_hard_sig, batch=128, free=20, nudged=8, beta=0.5, symmetric=True),
    "published": dict(size=32, channels=[3, 128, 256, 512, 512], kernel=3,
                      paddings=[1, 1, 1, 0], act=my_hard_sig, batch=8, free=20, nudged=5,
                      beta=0.5, symmetric=True),
}
CLASSES = 10


class Cnn(Network):
    def __init__(self, size, channels, kernel, paddings, act):
        super().__init__(act)
        self.pool = torch.nn.MaxPool2d(2, stride=2)
        self.synapses = torch.nn.ModuleList()
        self.shapes = []
        for below, above, padding in zip(channels[:-1], channels[1:], paddings):
            self.synapses.append(torch.nn.Conv2d(below, above, kernel, padding=padding))
            size = (size + 2 * padding - kernel + 1) // 2
            self.shapes.append((above, size, size))
        self.synapses.append(torch.nn.Linear(channels[-1] * size * size, CLASSES))
        self.shapes.append((CLASSES,))

    def phi(self, x, y, states, beta, criterion):
        layers = [x] + states
        phi = 0.0
        for i, synapse in enumerate(self.synapses[:-1]):
            phi = phi + torch.sum(self.pool(synapse(layers[i])) * layers[i + 1], dim=(1, 2, 3))
        flat = layers[-2].view(x.size(0), -1)
        phi = phi + torch.sum(self.synapses[-1](flat) * layers[-1], dim=1)
        if beta != 0.0:
            y_hot = functional.one_hot(y, num_classes=CLASSES).to(x.dtype)
            phi = phi - beta * 0.5 * criterion(layers[-1], y_hot).sum(dim=1)
        return phi

    def zero_states(self, x):
        return [torch.zeros(x.size(0), *shape, requires_grad=True) for shape in self.shapes]


class Training:
    def __init__(self, setting):
        torch.manual_seed(0)
        self.setting = setting
        self.model = Cnn(setting["size"], setting["channels"], setting["kernel"],
                         setting["paddings"], setting["act"])
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.criterion = torch.nn.MSELoss(reduction="none")

    def step(self, x, y):
        """One minibatch. Returns the loss at the free state."""
        beta, steps = self.setting["beta"], self.setting["nudged"]
        free = self.model.relax(x, y, self.model.zero_states(x), self.setting["free"], 0.0,
                                self.criterion)
        with torch.no_grad():
            y_hot = functional.one_hot(y, num_classes=CLASSES).to(x.dtype)
            loss = 0.5 * self.criterion(free[-1], y_hot).sum(dim=1).mean().item()
        plus = self.model.relax(x, y, free, steps, beta, self.criterion)
        if self.setting["symmetric"]:
            minus = self.model.relax(x, y, free, steps, -beta, self.criterion)
            self.model.set_gradient(x, y, minus, -beta, plus, beta, self.criterion)
        else:
            self.model.set_gradient(x, y, free, 0.0, plus, beta, self.criterion)
        self.optimizer.step()
        return loss


def synthetic_input(batch, channels, size):
    """The input of eqprop_cnn_step.cc."""
    b = torch.arange(batch, dtype=torch.float64).unsqueeze(1)
    i = torch.arange(channels * size * size, dtype=torch.float64).unsqueeze(0)
    x = torch.sin(0.05 * (b + 1) * i + b) * 0.5 + 0.5
    return x.to(torch.float32).view(batch, channels, size, size)


def serve(setting):
    """Takes N steps for each line "steps N"; answers "SECONDS LAST_LOSS"."""
    training = Training(setting)
    x = synthetic_input(setting["batch"], setting["channels"][0], setting["size"])
    number = 0
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line.split()[1])):
            y = (torch.arange(setting["batch"]) * 7 + number) % CLASSES
            loss = training.step(x, y)
            number += 1
        print("%.9g %.9g" % (time.perf_counter() - start, loss), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    serve(SETTINGS[sys.argv[2]])

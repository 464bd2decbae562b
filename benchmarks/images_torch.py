"""Folder images through torchvision and Pillow: what benchmarks/compare holds ours against.

Arguments and commands are those of benchmarks/images.cc. Each of the threads there is a
worker process of a DataLoader here.
"""

import os
import sys
import time

import torch
from torchvision import datasets, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
PIPELINES = {
    "train": CROP + [transforms.PILToTensor()],
    "normalised": CROP + [transforms.ToTensor(), transforms.Normalize(MEAN, STD)],
    "eval": [transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()],
}


def cpu_seconds(processes):
    """Of these processes so far, user and system."""
    ticks = 0
    for process in processes:
        with open("/proc/%d/stat" % process) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Passes:
    """Batch after batch, epoch after epoch, with workers that stay."""

    def __init__(self, root, kind, threads, batch_size):
        data = datasets.ImageFolder(os.path.join(root, "train"),
                                    transforms.Compose(PIPELINES[kind]))
        self.loader = torch.utils.data.DataLoader(
            data, batch_size=batch_size, shuffle=kind != "eval", num_workers=threads,
            drop_last=True, persistent_workers=True)
        self.iterator = iter(self.loader)

    def next(self):
        try:
            return next(self.iterator)
        except StopIteration:
            self.iterator = iter(self.loader)
            return next(self.iterator)

    def processes(self):
        return [os.getpid()] + [worker.pid for worker in self.iterator._workers]


def main():
    root, threads, batch_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    passes = {}
    for line in sys.stdin:
        command, argument = line.split()
        if command == "write":
            images = Passes(root, "eval", 1, batch_size).next()[0]
            images.numpy().tofile(argument)
            print(images.numel(), flush=True)
            continue
        if command not in passes:
            passes.clear()  # ends the workers of the last kind
            passes[command] = Passes(root, command, threads, batch_size)
        source = passes[command]
        # Until no batch is left that was decoded before the clock starts.
        for _ in range(2 * threads + 2):
            source.next()
        cpu, start, images = cpu_seconds(source.processes()), time.perf_counter(), 0
        for _ in range(int(argument)):
            images += source.next()[0].size(0)
        seconds = time.perf_counter() - start
        print(seconds, cpu_seconds(source.processes()) - cpu, images, flush=True)


if __name__ == "__main__":
    main()

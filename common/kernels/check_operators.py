#!/usr/bin/env python3
"""Load altprop's operators into Python and hold them to plain PyTorch.

    tools/bazel build //common/kernels:libaltprop_ops.so
    python3 common/kernels/check_operators.py bazel-bin/common/kernels/libaltprop_ops.so

Needs torch 2.11. Runs on the CPU, and on CUDA where the library was built with
--config=cuda and there is a GPU. Exits with 1 at the first difference.
"""
import sys

import torch
import torch.nn.functional as F


def reference(images, draws, pad, replicate_edge, mean, std, dtype):
    """torchvision's way: flip, pad and crop the bytes, scale, normalise."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    height, width = images.shape[2:]
    out = []
    for image, (top, left, flip) in zip(images, draws.tolist()):
        if flip:
            image = image.flip(2)
        padded = F.pad(image[None].double(), (pad,) * 4, "replicate" if replicate_edge else "constant")
        out.append(padded[0, :, top:top + height, left:left + width].to(wide))
    shape = (1, -1, 1, 1)
    mean = torch.tensor(mean, dtype=torch.float64).to(images.device, wide).view(shape)
    std = torch.tensor(std, dtype=torch.float64).to(images.device, wide).view(shape)
    return torch.stack(out).div(255).sub(mean).div(std).to(dtype)


def check(device):
    torch.manual_seed(0)
    pad, mean, std = 4, (0.4914, 0.4822, 0.4465), (0.6069, 0.5982, 0.6030)
    images = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8, device=device)
    draws = torch.cat([torch.randint(2 * pad + 1, (16, 2)), torch.randint(2, (16, 1))], 1).int().to(device)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        for replicate_edge in (False, True):
            got = torch.ops.altprop.augment(images, draws, pad, replicate_edge, mean, std, dtype)
            expected = reference(images, draws, pad, replicate_edge, mean, std, dtype)
            if not torch.equal(got, expected):
                sys.exit(f"altprop::augment on {device}, {dtype}: differs from PyTorch")
    print(f"altprop::augment on {device}: equal to PyTorch, bit for bit")


def main(library):
    torch.ops.load_library(library)
    print(torch.ops.altprop.augment.default._schema)
    check("cpu")
    has_cuda = torch._C._dispatch_has_kernel_for_dispatch_key("altprop::augment", "CUDA")
    if torch.cuda.is_available() and has_cuda:
        check("cuda")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

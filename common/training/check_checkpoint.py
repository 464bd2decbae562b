#!/usr/bin/env python3
"""Holds our checkpoints against Python's torch, both ways.

    tools/bazel build //common/training:checkpoint_tool
    python3 common/training/check_checkpoint.py bazel-bin/common/training/checkpoint_tool

needs torch 2.11 (and, for that part, safetensors) in this Python. Every sample
is written by torch.save, as a zip and as a stream file; the tool must describe
it as Python sees it; what the tool saves of it must open with
torch.load(weights_only=True), be equal, and be the same bytes each time. More
arguments name checkpoints to try in the same way; --write_testdata=FOLDER
writes the files under testdata/ that the hermetic C++ tests read.
"""

import argparse
import collections
import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

import torch

DTYPES = {
    torch.bool: "Bool", torch.uint8: "Byte", torch.int8: "Char",
    torch.int16: "Short", torch.int32: "Int", torch.int64: "Long",
    torch.float16: "Half", torch.bfloat16: "BFloat16", torch.float32: "Float",
    torch.float64: "Double", torch.complex64: "ComplexFloat",
    torch.complex128: "ComplexDouble", torch.uint16: "UInt16",
    torch.uint32: "UInt32", torch.uint64: "UInt64",
}


def bytes_of(tensor):
    flat = tensor.detach().cpu().contiguous()
    return ctypes.string_at(flat.data_ptr(), flat.nbytes) if flat.numel() else b""


def describe(value):
    """What checkpoint_tool describe prints for it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -2**63 <= value < 2**63 else str(value)
    if isinstance(value, float):
        return {"real": struct.pack(">d", value).hex()}
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"bytes": value.hex()}
    if isinstance(value, torch.Tensor):
        return {"tensor": [DTYPES[value.dtype], list(value.shape),
                           zlib.crc32(bytes_of(value))]}
    if isinstance(value, (torch.dtype, torch.device)):
        return str(value)
    if isinstance(value, dict):
        return {"dict": [[str(key), describe(item)]
                         for key, item in value.items()]}
    return [describe(item) for item in value]


def adam_state():
    """An optimizer's state_dict: integer keys, nested dicts, a tuple."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def samples():
    torch.manual_seed(0)
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tied = torch.randn(3, 3)
    bits = torch.tensor([0.0, -0.0, float("nan"), float("inf"), 5e-324],
                        dtype=torch.float64)
    module = torch.nn.Sequential(
        collections.OrderedDict(fc=torch.nn.Linear(4, 3),
                                norm=torch.nn.BatchNorm1d(3)))
    return {
        "scalars": {"none": None, "yes": True, "no": False, "zero": 0,
                    "byte": 255, "short": 65535, "int": -2**31, "long": 2**40,
                    "min": -2**63, "max": 2**63 - 1, "huge": 2**64 - 1,
                    "pi": 3.14, "inf": float("inf"), "tiny": 5e-324,
                    "empty": "", "text": "Grüße, 世界 🙂", "raw": b"\x00\xff\x80",
                    "dtype": torch.bfloat16, "device": torch.device("cuda", 0)},
        "nested": {"list": [1, [2.5, ["x"]], {}], "tuple": (1, (2,), ()),
                   "dict": {"a": {"b": {"c": [None]}}}, "size": base.shape,
                   "three": (1, 2, 3), "four": (1, 2, 3, 4),
                   "ordered": collections.OrderedDict(z=1, a=2),
                   "ints": {0: "zero", -1: "minus", 10**12: "large"}},
        "dtypes": {str(dtype): (torch.arange(-3, 5) % 200).to(dtype)
                   for dtype in DTYPES},
        "views": {"base": base, "transposed": base.t(), "row": base[1],
                  "column": base[:, 2], "part": base[1:3, 2:5],
                  "flipped": base.flip(0), "expanded": torch.ones(1).expand(5),
                  "empty": torch.empty(0), "empty2": base[4:],
                  "none": torch.empty(3, 0, 2), "scalar": torch.tensor(7.5),
                  "item": base[2, 3]},
        "shared": {"a": tied, "b": tied, "row": tied[1], "bits": bits},
        "module": module.state_dict(),
        "parameters": {"p": torch.nn.Parameter(torch.randn(2, 2)),
                       "frozen": torch.nn.Parameter(torch.ones(2), False)},
        "optimizer": adam_state(),
        "tensor": torch.arange(3),
        "list": [torch.zeros(2), "x"],
        "random": {"rng": torch.get_rng_state()},
        "checkpoint": {"model": module.state_dict(), "epoch": 3,
                       "optimizer": adam_state(), "loss": [0.5, 0.25]},
    }


class Checker:
    def __init__(self, tool, folder):
        self.tool, self.folder = tool, folder
        self.checks = self.failures = 0

    def run(self, *args):
        return subprocess.run([self.tool, *args], capture_output=True,
                              text=True, check=False)

    def expect(self, name, good, detail=""):
        self.checks += 1
        if not good:
            self.failures += 1
            print(f"FAILED {name}: {detail}"[:600])

    def path(self, name):
        return os.path.join(self.folder, name)

    def check_file(self, name, path, value):
        """`path`, which torch saved and which holds `value`."""
        want = describe(value)
        result = self.run("describe", path)
        self.expect(f"{name} is read",
                    result.returncode == 0 and json.loads(result.stdout) == want,
                    result.stderr or f"{result.stdout} instead of {want}")
        if '"bytes"' in json.dumps(want) or "UInt" in json.dumps(want):
            return  # values that we read but do not write
        copies = [self.path("copy_a.pt"), self.path("copy_b.pt")]
        for copy in copies:
            result = self.run("copy", path, copy)
            self.expect(f"{name} is saved", result.returncode == 0,
                        result.stderr)
            if result.returncode != 0:
                return
        contents = [open(copy, "rb").read() for copy in copies]
        self.expect(f"{name} is the same bytes each time",
                    contents[0] == contents[1])
        ours = torch.load(copies[0], weights_only=True)
        self.expect(f"{name} opens in Python", describe(ours) == want,
                    f"{describe(ours)} instead of {want}")
        result = self.run("copy", copies[0], copies[1])
        self.expect(f"{name} is unchanged by reading and saving",
                    open(copies[1], "rb").read() == contents[0], result.stderr)

    def check_samples(self):
        for name, value in samples().items():
            for kind, options in VARIANTS.items():
                if kind == "stream" and name == "dtypes":
                    value = {key: tensor for key, tensor in value.items()
                             if "uint" not in key or key == "torch.uint8"}
                path = self.path(f"{name}_{kind}.pt")
                torch.save(value, path, **options)
                self.check_file(f"{name} ({kind})", path, value)

    def check_existing(self, paths):
        for path in paths:
            value = torch.load(path, map_location="cpu", weights_only=True)
            self.check_file(path, path, value)

    def check_safetensors(self):
        try:
            from safetensors import safe_open
            from safetensors.torch import save_file
        except ImportError:
            print("no safetensors here: skipped that part")
            return
        tensors = {name: value for name, value in samples()["dtypes"].items()
                   if not value.dtype.is_complex}
        tensors |= {"empty": torch.empty(3, 0), "scalar": torch.tensor(2.5)}
        want = {name: describe(value) for name, value in tensors.items()}
        theirs = self.path("theirs.safetensors")
        save_file(tensors, theirs, metadata={"format": "pt", "by": "them"})
        result = self.run("describe_safetensors", theirs)
        got = json.loads(result.stdout or "{}")
        self.expect("their safetensors is read", got.get("tensors") == want,
                    result.stderr or result.stdout)
        self.expect("their metadata is read", got.get("metadata") ==
                    [["by", "them"], ["format", "pt"]], result.stdout)
        torch.save(tensors, self.path("tensors.pt"))
        ours = self.path("ours.safetensors")
        result = self.run("export", self.path("tensors.pt"), ours)
        with safe_open(ours, "pt") as opened:
            read = {key: describe(opened.get_tensor(key))
                    for key in opened.keys()}
            metadata = opened.metadata()
        self.expect("our safetensors opens in Python", read == want,
                    f"{read} instead of {want}")
        self.expect("our metadata opens in Python",
                    metadata == {"format": "pt"}, str(metadata))


VARIANTS = {
    "zip": {},
    "zip4": {"pickle_protocol": 4},
    "stream": {"_use_new_zipfile_serialization": False},
    "stream5": {"_use_new_zipfile_serialization": False, "pickle_protocol": 5},
}


def deflate(path, to):
    """The same archive, its records deflated."""
    with zipfile.ZipFile(path) as stored, \
            zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as deflated:
        for record in stored.infolist():
            entry = zipfile.ZipInfo(record.filename)
            entry.compress_type = zipfile.ZIP_DEFLATED
            deflated.writestr(entry, stored.read(record))


def write_testdata(folder):
    """Small files, and beside them what they hold."""
    os.makedirs(folder, exist_ok=True)
    for name in ("dtypes", "scalars", "nested", "shared", "module",
                 "parameters", "optimizer", "views"):
        value = samples()[name]
        path = os.path.join(folder, name)
        torch.save(value, f"{path}_zip.pt")
        if name != "dtypes":  # some of which only zip files hold
            torch.save(value, f"{path}_stream.pt", **VARIANTS["stream"])
        with open(f"{path}.json", "w", encoding="utf-8") as file:
            json.dump(describe(value), file)
            file.write("\n")
    deflate(os.path.join(folder, "shared_zip.pt"),
            os.path.join(folder, "shared_deflated.pt"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool")
    parser.add_argument("checkpoints", nargs="*")
    parser.add_argument("--write_testdata", metavar="FOLDER")
    args = parser.parse_args()
    if args.write_testdata:
        write_testdata(args.write_testdata)
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(args.tool, folder)
        checker.check_samples()
        checker.check_existing(args.checkpoints)
        checker.check_safetensors()
    print(f"torch {torch.__version__}: {checker.checks} checks, "
          f"{checker.failures} failed")
    return 1 if checker.failures else 0


if __name__ == "__main__":
    sys.exit(main())

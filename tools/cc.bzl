"""Platform choices for C++ targets, in one place: OpenMP and CUDA.

altprop_operator  a PyTorch operator: foo.h, foo.cc (CPU), foo_cuda.cu
openmp_library    a cc_library whose at::parallel_for runs in parallel
"""

load("//tools/cuda:cuda.bzl", "cuda_library")

# at::parallel_for in a file compiled without -fopenmp is serial. Left out under
# tsan: libgomp is not instrumented, its barriers look like races.
OPENMP = select({
    "//tools:tsan": [],
    "//conditions:default": ["-fopenmp"],
})

# One compilation per instruction set: altprop's kernels choose among them when
# they run, by at::get_cpu_capability().
ISA_FLAGS = {
    "default": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"],
}

def openmp_library(name, copts = [], linkopts = [], **kwargs):
    native.cc_library(
        name = name,
        copts = copts + OPENMP,
        linkopts = linkopts + OPENMP,
        **kwargs
    )

def altprop_operator(name, srcs, hdrs, cuda_srcs = [], copts = [], deps = [], visibility = None, **kwargs):
    """A library that registers operators with PyTorch's dispatcher.

    Args:
      name: of the cc_library; it is linked whole, so registrations survive.
      srcs: the CPU kernels and the dispatching function; compiled with OpenMP.
      hdrs: the contract.
      cuda_srcs: .cu files, compiled by nvcc under --config=cuda, else ignored.
      copts: for srcs alone, for instance ["-O3"].
      deps: for srcs and cuda_srcs; LibTorch is added.
      visibility: of the library.
      **kwargs: passed to the cc_library.
    """
    deps = deps + ["@torch//:torch"]
    cuda = []
    if cuda_srcs:
        cuda_library(
            name = name + "_cuda",
            srcs = cuda_srcs,
            hdrs = hdrs,
            deps = deps,
        )
        cuda = [":%s_cuda" % name]
    openmp_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        alwayslink = True,
        copts = copts,
        visibility = visibility,
        deps = deps + select({
            "//tools/cuda:enabled": cuda,
            "//conditions:default": [],
        }),
        **kwargs
    )

"""nvcc under Bazel: .cu files of a library, compiled against its deps.

nvcc comes from pinned wheels (@cuda_nvcc), so no CUDA Toolkit is installed. Code for
sm_80 and sm_90, and PTX for what comes later.
"""

_ARCHITECTURES = [
    "arch=compute_80,code=sm_80",
    "arch=compute_90,code=[sm_90,compute_90]",
]

def _cuda_objects_impl(ctx):
    contexts = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    flags = ["-D" + define for c in contexts for define in c.defines.to_list()]

    # nvcc knows no -iquote; the host compiler does.
    for c in contexts:
        flags += ["-Xcompiler=-iquote," + d for d in c.quote_includes.to_list()]
        flags += ["-I" + d for d in c.includes.to_list()]
        flags += ["-isystem=" + d for d in c.system_includes.to_list()]
    headers = depset(ctx.files.hdrs, transitive = [c.headers for c in contexts])

    objects = []
    for source in ctx.files.srcs:
        output = ctx.actions.declare_file(source.basename[:-len(".cu")] + ".cu.o")
        ctx.actions.run(
            executable = ctx.file.nvcc,
            arguments = [
                "-c",
                source.path,
                "-o",
                output.path,
                "-std=c++20",
                "-O3",
                "-DNDEBUG",
                "-Xcompiler=-fPIC",
                "-ccbin=/usr/bin/g++",
                "--expt-relaxed-constexpr",
                "-Xcompiler=-iquote,.",
            ] + ["-gencode=" + a for a in _ARCHITECTURES] + flags,
            inputs = depset([source], transitive = [headers, depset(ctx.files.toolkit)]),
            outputs = [output],
            env = {"PATH": "/usr/bin:/bin"},
            # Thousands of headers: see .bazelrc on CppCompile.
            execution_requirements = {"no-sandbox": "1"},
            mnemonic = "CudaCompile",
            progress_message = "nvcc " + source.short_path,
        )
        objects.append(output)
    return [DefaultInfo(files = depset(objects))]

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "nvcc": attr.label(allow_single_file = True, default = "@cuda_nvcc//:nvcc"),
        "srcs": attr.label_list(allow_files = [".cu"]),
        "toolkit": attr.label(default = "@cuda_nvcc//:toolkit"),
    },
)

def cuda_library(name, srcs, hdrs = [], deps = [], visibility = None):
    """A cc_library of .cu files, linked whole. "manual": --config=cuda selects it."""
    _cuda_objects(
        name = name + "_objects",
        srcs = srcs,
        hdrs = hdrs,
        tags = ["manual"],
        deps = deps + ["@cuda_nvcc//:headers"],
    )
    native.cc_library(
        name = name,
        srcs = [":%s_objects" % name],
        alwayslink = True,
        tags = ["manual"],
        visibility = visibility,
        deps = deps,
    )

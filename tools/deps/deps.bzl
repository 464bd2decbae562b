"""The external repositories. Versions and checksums: lock.bzl."""

load(":fetch.bzl", "apt_index", "source_archive", "wheels")

def _overlay(name):
    return Label("//tools/deps/overlays:%s.BUILD" % name)

def dependencies():
    apt_index(name = "apt_index")

    source_archive(
        name = "com_google_absl",
        key = "com_google_absl",
        patches = [Label("//tools/deps/patches:absl_cstdint.patch")],
        repo_mapping = {"@bazel_skylib": "@selects"},
    )
    native.local_repository(name = "selects", path = "tools/deps/selects")
    source_archive(
        name = "com_github_glog_glog",
        key = "com_github_glog_glog",
        build_file = _overlay("glog"),
    )
    source_archive(name = "com_google_googletest", key = "com_google_googletest")
    source_archive(name = "com_github_google_benchmark", key = "com_github_google_benchmark")
    for name in ["nlohmann_json", "curl", "zlib", "libjpeg_turbo", "libpng", "nasm"]:
        source_archive(name = name, key = name, build_file = _overlay(name))

    wheels(name = "torch", build_file = _overlay("torch"))
    wheels(name = "cuda_rt", build_file = _overlay("cuda_rt"))

    # Fetched by --config=cuda alone: everything that names them is "manual".
    wheels(name = "cuda_nvcc", also = ["nvidia-cuda-runtime"], build_file = _overlay("cuda_nvcc"))
    wheels(name = "cuda_libs", build_file = _overlay("cuda_libs"))

"""What differs between Bazels: the distribution's own, and upstream's releases.

Debian's Bazel brings some of its rule repositories as folders and expects no
download; upstream's brings them itself. `distribution` finds those folders,
`stubs` adds what Bazel asks for and neither has.
"""

_BASE = "/usr/share/bazel"

# Folder under _BASE -> the repository name that Bazel and rules ask for.
_FOLDERS = {
    "rules/cc": "rules_cc",
    "rules/java": "rules_java",
    "rules/license": "rules_license",
    "rules/proto": "rules_proto",
    "rules/python": "rules_python",
    "tools/features": "bazel_features",
    "tools/platforms": "platforms",
    "tools/skylib": "bazel_skylib",
}

_REPOSITORY = """
    if "{name}" not in skip:
        native.local_repository(name = "{name}", path = "{path}")
"""

def _distribution_impl(ctx):
    lines = ["def repositories(skip):", "    pass"]
    for folder, name in _FOLDERS.items():
        path = "%s/%s" % (_BASE, folder)
        if ctx.path(path).exists:
            lines.append(_REPOSITORY.format(name = name, path = path))
    ctx.file("BUILD", "")
    ctx.file("repositories.bzl", "\n".join(lines) + "\n")

distribution = repository_rule(implementation = _distribution_impl, local = True)

def stubs():
    """Adds our stand-ins where Bazel is a distribution's; returns their names.

    A distribution's Bazel says no version, or is 4.x.
    """
    version = native.bazel_version
    if version and not version.startswith("4."):
        return []
    names = ["rules_cc", "remote_coverage_tools"]
    for name in names:
        native.local_repository(name = name, path = "tools/deps/stubs/" + name)
    return names

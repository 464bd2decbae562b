"""Repository rules: source archives, wheels, and the package index behind them.

A file comes from, in this order: Bazel's repository cache or a --distdir; the
upstream URL; a package client (apt-get's source command, pip). Whatever a client
fetched is handed to Bazel's downloader, which verifies its SHA-256 and keeps it
in the repository cache: later clones and `clean --expunge` download nothing.
"""

load(":lock.bzl", "ARCHIVES", "WHEELS")

_TIMEOUT_S = 3600

def _fill(entry, key):
    version = entry["version"]
    return entry[key].replace("{version}", version).replace("{version_}", version.replace(".", "_"))

def _offline(ctx, name, sha256, output):
    """Takes a file from the repository cache or a --distdir; never the network."""
    return ctx.download(
        url = "file:///nonexistent/" + name,
        output = output,
        sha256 = sha256,
        allow_fail = True,
    ).success

def _accept(ctx, what, path, sha256, output):
    """Verifies a file that a package client fetched and stores it in the cache."""
    if ctx.download(url = "file://%s" % path, output = output, sha256 = sha256, allow_fail = True).success:
        return
    found = ctx.execute(["sha256sum", str(path)]).stdout.split(" ")[0]
    fail("%s: its SHA-256 is %s, tools/deps/lock.bzl says %s: fetch it again, or check why it changed before `tools/deps/bump`" %
         (what, found or "unknown", sha256))

def _last_line(text):
    lines = [line for line in text.strip().split("\n") if line.strip()]
    return lines[-1].strip() if lines else "no output"

def _apt_index_impl(ctx):
    ctx.file("BUILD", "")
    ctx.symlink(Label("//tools/deps:apt_source.sh"), "client.sh")
    ctx.file("apt_source.sh", ctx.read("client.sh"))
    result = ctx.execute(["bash", "apt_source.sh", "update"], timeout = _TIMEOUT_S)
    if result.return_code != 0:
        fail("source packages: no upstream URL answered and apt-get gave no index (%s): mend the network, or pass --distdir=DIR with the archives that tools/deps/lock.bzl names" %
             _last_line(result.stdout + result.stderr))

apt_index = repository_rule(
    implementation = _apt_index_impl,
    doc = "The distribution's source package index; fetched only when an upstream URL does not answer.",
)

def _source_archive_impl(ctx):
    entry = ARCHIVES[ctx.attr.key]
    what = "%s %s" % (ctx.attr.key, entry["version"])
    url = _fill(entry, "url")
    apt_file = _fill(entry, "apt_file")
    apt_sha256 = entry.get("apt_sha256", entry["sha256"])
    archive = "archive." + (".".join(url.split(".")[-2:]))
    apt_archive = "archive." + (".".join(apt_file.split(".")[-2:]))

    if ("apt_sha256" in entry and _offline(ctx, apt_file, apt_sha256, apt_archive)):
        from_apt = True
    elif ctx.download(url = url, output = archive, sha256 = entry["sha256"], allow_fail = True).success:
        from_apt = False
    else:
        from_apt = True
        index = ctx.path(Label("@apt_index//:apt_source.sh"))
        result = ctx.execute(["bash", str(index), "get", entry["apt"], str(ctx.path("apt"))], timeout = _TIMEOUT_S)
        if result.return_code != 0:
            fail("%s: neither %s nor source package `%s` could be fetched (%s): mend the network, or pass --distdir=DIR with %s" %
                 (what, url, entry["apt"], _last_line(result.stdout + result.stderr), url.split("/")[-1]))
        fetched = ctx.path("apt/" + apt_file)
        if not fetched.exists:
            fail("%s: %s did not answer and this distribution's source package `%s` no longer has %s: pass --distdir=DIR with %s, or move the pin with `tools/deps/bump %s VERSION`" %
                 (what, url, entry["apt"], apt_file, url.split("/")[-1], ctx.attr.key))
        _accept(ctx, what, fetched, apt_sha256, apt_archive)
        ctx.delete("apt")

    prefix = "apt_strip_prefix" if from_apt and "apt_strip_prefix" in entry else "strip_prefix"
    archive = apt_archive if from_apt else archive
    ctx.extract(archive, stripPrefix = _fill(entry, prefix))
    ctx.delete(archive)
    for patch in ctx.attr.patches:
        ctx.patch(patch, strip = 1)
    if ctx.attr.build_file:
        ctx.delete("BUILD.bazel")
        ctx.symlink(ctx.attr.build_file, "BUILD.bazel")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)

source_archive = repository_rule(
    implementation = _source_archive_impl,
    attrs = {
        "build_file": attr.label(doc = "Replaces the archive's own top BUILD file."),
        "key": attr.string(mandatory = True, doc = "The entry in lock.bzl's ARCHIVES."),
        "patches": attr.label_list(),
    },
)

def _python(ctx):
    python = ctx.which("python3")
    if not python:
        fail("python3 is not on this machine: install python3 and python3-pip (pip fetches the wheels that tools/deps/lock.bzl pins)")
    return python

def _pip_message(what, project, version, text):
    if "No module named pip" in text:
        return "%s: python3 has no pip: install python3-pip" % what
    if "DO NOT MATCH THE HASHES" in text:
        return "%s: the file served now has another SHA-256 than tools/deps/lock.bzl says: check why it changed before `tools/deps/bump %s %s`" % (what, project, version)
    if "CERTIFICATE_VERIFY_FAILED" in text or "SSLError" in text:
        return "%s: pip does not trust the certificate that it was shown: set pip's `cert` (PIP_CERT) to this network's bundle" % what
    if "No matching distribution" in text or "Could not find a version" in text:
        return "%s: pip finds no such version (no longer served, or pip has no network): check pip's settings, pass --distdir=DIR with the wheel, or move the pin with `tools/deps/bump %s VERSION`" % (what, project)
    return "%s: pip download failed: %s" % (what, _last_line(text))

def _fetch_wheel(ctx, project):
    entry = WHEELS[project]
    wheel = _fill(entry, "wheel")
    what = "%s %s" % (project, entry["version"])
    zipped = wheel[:-len("whl")] + "zip"  # Bazel extracts by suffix
    if not _offline(ctx, wheel, entry["sha256"], zipped):
        ctx.report_progress("pip download " + wheel)
        ctx.file("pip.txt", "%s==%s --hash=sha256:%s\n" % (project, entry["version"], entry["sha256"]))
        platforms = wheel[:-len(".whl")].split("-")[-1].split(".")
        command = [
            _python(ctx), "-m", "pip", "download", "--quiet", "--no-cache-dir",
            "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", "pip.txt",
            "-d", "pip", "--implementation", "cp", "--python-version", "312",
        ]
        for platform in platforms:
            command += ["--platform", platform]
        result = ctx.execute(command, timeout = _TIMEOUT_S)
        if result.return_code != 0:
            fail(_pip_message(what, project, entry["version"], result.stdout + result.stderr))
        _accept(ctx, what, ctx.path("pip/" + wheel), entry["sha256"], zipped)
        ctx.delete("pip")
        ctx.delete("pip.txt")
    ctx.extract(zipped)
    ctx.delete(zipped)

def _wheels_impl(ctx):
    for project, entry in WHEELS.items():
        if entry["repository"] == ctx.name or project in ctx.attr.also:
            _fetch_wheel(ctx, project)
    ctx.symlink(ctx.attr.build_file, "BUILD.bazel")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)

wheels = repository_rule(
    implementation = _wheels_impl,
    attrs = {
        "also": attr.string_list(doc = "Wheels of other repositories that are unpacked here too."),
        "build_file": attr.label(mandatory = True),
    },
    doc = "Unpacks the wheels whose `repository` in lock.bzl is this rule's name.",
)

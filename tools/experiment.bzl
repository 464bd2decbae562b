"""Published experiments: a flag file that can be run, and a test of it.

    experiment(flagfile = "mnist_mlp.flags", binary = "//eqprop:train")

makes `bazel run //eqprop/experiments:mnist_mlp -- --epochs=1`, which runs the
binary with that flag file first, so that later flags override it, and
:mnist_mlp_test, which only reads and validates the flags (--check_flags): a
renamed flag fails there.
"""

# The three places of a script's runfiles: beside it, where another program's
# are (a test), beside what a link to it leads to.
_SCRIPT = """#!/bin/bash
for runfiles in "$0.runfiles" "${RUNFILES_DIR:-}" "$(readlink -f "$0").runfiles"; do
  program="$runfiles/%s"
  if [[ -x $program ]]; then
    exec "$program" --flagfile="$runfiles/%s" %s"$@"
  fi
done
echo "error: $0: not beside its runfiles; build it with Bazel" >&2
exit 1
"""

def _runfiles_path(ctx, file):
    return ctx.workspace_name + "/" + file.short_path

def _experiment_impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        output = script,
        content = _SCRIPT % (
            _runfiles_path(ctx, ctx.executable.binary),
            _runfiles_path(ctx, ctx.file.flagfile),
            "".join([arg + " " for arg in ctx.attr.first_args]),
        ),
        is_executable = True,
    )
    runfiles = ctx.runfiles(files = [ctx.file.flagfile, ctx.executable.binary])
    return DefaultInfo(
        executable = script,
        runfiles = runfiles.merge(ctx.attr.binary[DefaultInfo].default_runfiles),
    )

_ATTRS = {
    "binary": attr.label(executable = True, cfg = "target", mandatory = True),
    "first_args": attr.string_list(),
    "flagfile": attr.label(allow_single_file = True, mandatory = True),
}

_experiment = rule(
    implementation = _experiment_impl,
    attrs = _ATTRS,
    executable = True,
)

_experiment_test = rule(
    implementation = _experiment_impl,
    attrs = _ATTRS,
    test = True,
)

def experiment(flagfile, binary, **kwargs):
    """A target to run and a test, both named after the flag file.

    Args:
      flagfile: "NAME.flags", in this package.
      binary: a program with the flags --flagfile and --check_flags.
      **kwargs: passed to both targets, for instance tags.
    """
    name = flagfile[:-len(".flags")] if flagfile.endswith(".flags") else flagfile
    _experiment(
        name = name,
        binary = binary,
        flagfile = flagfile,
        **kwargs
    )
    _experiment_test(
        name = name + "_test",
        size = "small",
        binary = binary,
        first_args = ["--check_flags"],
        flagfile = flagfile,
        **kwargs
    )

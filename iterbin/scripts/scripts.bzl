"""The authors' scripts as targets, from the table of them.

    scripts()

in iterbin/scripts/mnist/784/run makes :float, :binary and :layer:
`./scripts/mnist/784/run/layer.sh full 132 0.1 316 0` is
`bazel run //iterbin/scripts/mnist/784/run:layer -- full 132 0.1 316 0`. Flags may
follow the arguments and win over the script's own.
"""

load(":table.bzl", "SCRIPTS")

# Arguments come up to the first flag. The three places of a script's runfiles:
# beside it, where another program's are (a test), beside what a link to it leads
# to.
_SCRIPT = """#!/bin/bash
set -o pipefail
count=0
for argument in "$@"; do
  [[ $argument == --* ]] && break
  count=$((count + 1))
done
if [[ $count -ne {count} ]]; then
  echo "usage: {label} -- {usage} [--flag ...]" >&2
  exit 2
fi
{assign}
shift {count}
for runfiles in "$0.runfiles" "${{RUNFILES_DIR:-}}" "$(readlink -f "$0").runfiles"; do
  program="$runfiles/{program}"
  [[ -x $program ]] && break
done
if [[ ! -x $program ]]; then
  echo "error: $0: not beside its runfiles; build it with Bazel" >&2
  exit 1
fi
{run}
"""

# The authors' program writes its log through tee, which makes the folder's own
# log; a run's directory has its log.txt from the program.
_RUN = """exec "$program" {flags} "$@\""""

_RUN_WITH_LOG = """log="${{BUILD_WORKING_DIRECTORY:-.}}/{log}"
mkdir -p "$(dirname "$log")"
"$program" {flags} "$@" | tee -i "$log"
"""

def _text(template, arguments):
    """`template` in double quotes, its braces as shell variables."""
    for argument in arguments:
        template = template.replace("{%s}" % argument, "${%s}" % argument)
    return '"%s"' % template

def _family_a(row, arguments):
    """Flags and run directory of an MNIST or CIFAR-10 script."""
    kind, _, stage = row["kind"].rpartition("_")
    mnist = kind == "mlp3"
    order = row["order"]
    split = row.get("split", "cifar10_split0613.json")
    parts = [
        row["model"],
        "lr{lr}",
    ] + (["seed{seed}"] if stage == "run" else []) + [
        "ep" + row["epochs"],
        "eplayer" + row["p"],
        "$(basename %s)" % order,
    ] + ([] if mnist else ["$(basename %s)" % split])
    folder = "./logs/%s/%s/{name}/%s" % ("mnist" if mnist else "cifar10", stage, "-".join(parts))
    flags = [
        ("dataset", "mnist" if mnist else "cifar10"),
        ("model", row["model"]),
        ("epochs", row["epochs"]),
        ("epochs-per-layer", row["p"]),
        ("layers-indices", order),
        ("lr", "{lr}"),
        ("batch-size", "128" if kind == "resnet20" else "100"),
        ("test-batch-size", "1000"),
        ("log-interval", "150"),
        ("patience", "0"),
        ("gpu", "{gpu}"),
        ("logdir", folder),
    ]
    if not mnist:
        flags += [("dataset-indices", split), ("use-data-augmentation", "true")]
    if kind == "resnet20":
        flags += [("momentum", "0.9"), ("scheduler-milestones", row["milestones"])]
    if stage == "run":
        flags += [("seed", "{seed}"), ("test-training", "true")]
    else:
        flags += [("test-validation", "true")]
    return " ".join(["--%s=%s" % (name, _text(value, arguments)) for name, value in flags])

def _imagenet(row, arguments):
    flags = [
        ("workers", "8"),
        ("epochs", "{epochs}"),
        ("lr", "{lr}"),
        ("lr-milestones", "{milestones}"),
        ("gpu", "0"),
    ]
    if row["kind"] != "imagenet_float":
        flags += [
            ("binarize", "true"),
            ("layers-json", row["order"]),
            ("epochs-per-layer", row["p"]),
        ]
    if row["kind"] == "imagenet_binary":
        flags += [("all-binary", "true")]
    return " ".join(
        [_text("{dir}", arguments), _text("./logs/imagenet/{name}", arguments)] +
        ["--%s=%s" % (name, _text(value, arguments)) for name, value in flags],
    )

def _script_impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(output = script, content = ctx.attr.content, is_executable = True)
    runfiles = ctx.runfiles(files = [ctx.executable.binary])
    return DefaultInfo(
        executable = script,
        runfiles = runfiles.merge(ctx.attr.binary[DefaultInfo].default_runfiles),
    )

_script = rule(
    implementation = _script_impl,
    attrs = {
        "binary": attr.label(executable = True, cfg = "target", mandatory = True),
        "content": attr.string(mandatory = True),
    },
    executable = True,
)

def _content(label, row):
    arguments = row["args"].split(" ")
    imagenet = row["kind"].startswith("imagenet")
    program = _program(row)
    if imagenet:
        log = _text("./logs/imagenet/{name}/lr{lr}-ep{epochs}-%s.txt" % row["log"], arguments)
        run = _RUN_WITH_LOG.format(log = log[1:-1], flags = _imagenet(row, arguments))
    else:
        run = _RUN.format(flags = _family_a(row, arguments))
    return _SCRIPT.format(
        count = len(arguments),
        label = label,
        usage = row["args"],
        assign = "\n".join([
            "%s=\"${%d}\"" % (name, i + 1)
            for i, name in enumerate(arguments)
        ]),
        program = "altprop/iterbin/" + program,
        run = run,
    )

def _program(row):
    if row["kind"] == "imagenet_float":
        return "main_imagenet_float"
    return "main_imagenet_binary" if row["kind"].startswith("imagenet") else "main"

def scripts():
    """The scripts of this folder."""
    folder = native.package_name()[len("iterbin/scripts/"):]
    names = []
    for row in SCRIPTS:
        at, _, name = row["path"].rpartition("/")
        if at != folder:
            continue
        names.append(name)
        _script(
            name = name,
            binary = "//iterbin:" + _program(row),
            content = _content("bazel run //%s:%s" % (native.package_name(), name), row),
            visibility = ["//iterbin:__pkg__"],
        )
    if not names:
        fail("no scripts in the table for " + folder)

def script_labels(prefix = ""):
    """All scripts whose path begins with `prefix`."""
    return [
        "//iterbin/scripts/%s:%s" % tuple(row["path"].rpartition("/")[::2])
        for row in SCRIPTS
        if row["path"].startswith(prefix)
    ]

def script_usages():
    """A line per script: its path, then its arguments."""
    return [row["path"] + " " + row["args"] for row in SCRIPTS]

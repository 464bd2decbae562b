"""The authors' 51 scripts: their positional arguments, and what they run.

Texts between braces are arguments of the script. What a dataset script fixes
(batches, augmentation, what is evaluated) is in _KINDS of scripts.bzl.
"""

def _mlp3(network):
    """The scripts of a perceptron: 450 epochs, 150 to sensitivity runs."""
    return [
        dict(
            path = "mnist/%s/sensitivity/layer" % network,
            args = "name order lr gpu",
            kind = "mlp3_val",
            model = network + "_layer",
            epochs = "150",
            p = "150",
            order = "mlp3_layers_{order}.json",
        ),
    ] + _three("mnist/" + network, "mlp3", "mlp3", network, "450", "150")

def _three(folder, kind, family, network, epochs, p, milestones = ""):
    """float, binary and layer, on the validation split and in full."""
    rows = []
    for stage, seed in [("val", ""), ("run", "seed ")]:
        for script, suffix in [("float", ""), ("binary", "_binary"), ("layer", "_layer")]:
            order = "order " if script == "layer" else ""
            rows.append(dict(
                path = "%s/%s/%s" % (folder, stage, script),
                args = "name %slr %sgpu" % (order, seed),
                kind = "%s_%s" % (kind, stage),
                model = network + suffix,
                epochs = epochs,
                p = p,
                order = family + ("_layers_{order}.json" if order else "_layers_forward.json"),
                milestones = milestones,
            ))
    return rows

def _vgg(network, epochs, sensitivity_epochs):
    wrapper = dict(
        model = "{model}",
        epochs = "{epochs}",
        p = "{P}",
        order = network + "_layers_{order}.json",
    )
    return [
        dict(
            path = "cifar10/%s/sensitivity/layer" % network,
            args = "name i lr gpu",
            kind = "vgg_val",
            model = network + "_layer",
            epochs = sensitivity_epochs,
            p = sensitivity_epochs,
            order = network + "_layers_{i}.json",
        ),
        dict(
            wrapper,
            path = "cifar10/%s/val" % network,
            args = "name model epochs P order lr gpu",
            kind = "vgg_val",
        ),
        dict(
            wrapper,
            path = "cifar10/%s/run" % network,
            args = "name model epochs P order lr seed gpu",
            kind = "vgg_run",
        ),
    ] + _three("cifar10/" + network, "vgg", network, network, epochs, "150")

_WRAPPER = dict(model = "{model}", epochs = "{epochs}", p = "{P}", order = "{orderfile}")

_RESNET20 = dict(model = "{model}", order = "resnet20_layers_{order}.json")

SCRIPTS = _mlp3("300") + _mlp3("784") + [
    dict(
        _WRAPPER,
        path = "mnist/mlp3_val",
        args = "name model epochs P orderfile lr gpu",
        kind = "mlp3_val",
    ),
    dict(
        _WRAPPER,
        path = "mnist/mlp3_run",
        args = "name model epochs P orderfile lr seed gpu",
        kind = "mlp3_run",
    ),
] + _vgg("vgg5", "750", "200") + _vgg("vgg9", "1350", "450") + [
    dict(
        _WRAPPER,
        path = "cifar10/vgg_val",
        args = "name model epochs P orderfile lr splitfile gpu",
        kind = "vgg_val",
        split = "{splitfile}",
    ),
    dict(
        _WRAPPER,
        path = "cifar10/vgg_run",
        args = "name model epochs P orderfile lr splitfile seed gpu",
        kind = "vgg_run",
        split = "{splitfile}",
    ),
    dict(
        path = "cifar10/resnet20/sensitivity/layer",
        args = "name i lr gpu",
        kind = "resnet20_val",
        model = "resnet20_layer",
        epochs = "300",
        p = "300",
        order = "resnet20_layers_{i}.json",
        milestones = "[200,250]",
    ),
] + _three("cifar10/resnet20", "resnet20", "resnet20", "resnet20", "1200", "50", "[1000,1100]") + [
    dict(
        _RESNET20,
        path = "cifar10/resnet20/val_ep300",
        args = "name model order lr gpu",
        kind = "resnet20_val",
        epochs = "300",
        p = "300",
        milestones = "[200,250]",
    ),
    dict(
        _RESNET20,
        path = "cifar10/resnet20/val_ep1200",
        args = "name model order lr gpu",
        kind = "resnet20_val",
        epochs = "1200",
        p = "50",
        milestones = "[1000,1100]",
    ),
    dict(
        _RESNET20,
        path = "cifar10/resnet20/run_ep1200",
        args = "name model order lr seed gpu",
        kind = "resnet20_run",
        epochs = "1200",
        p = "50",
        milestones = "[1000,1100]",
    ),
    dict(
        _WRAPPER,
        path = "cifar10/resnet20_val",
        args = "name model epochs P orderfile milestones lr splitfile gpu",
        kind = "resnet20_val",
        milestones = "{milestones}",
        split = "{splitfile}",
    ),
    dict(
        _WRAPPER,
        path = "cifar10/resnet20_run",
        args = "name model epochs P orderfile milestones lr seed splitfile gpu",
        kind = "resnet20_run",
        milestones = "{milestones}",
        split = "{splitfile}",
    ),
    dict(
        path = "imagenet/float",
        args = "name dir epochs milestones lr",
        kind = "imagenet_float",
        log = "float",
    ),
    dict(
        path = "imagenet/binary",
        args = "name dir epochs milestones lr",
        kind = "imagenet_binary",
        p = "20",
        order = "resnet21_layers_1.json",
        log = "all_binary",
    ),
    dict(
        path = "imagenet/layer",
        args = "name dir epochs milestones P order lr",
        kind = "imagenet_layer",
        p = "{P}",
        order = "resnet21_layers_{order}.json",
        log = "epl{P}-resnet21_layers_{order}",
    ),
]

"""The basic block of residual networks (He et al., 2016), shared by resnet_cifar and resnet18."""


def conv_norm(g, x, name, inputs, outputs, kernel, stride):
    """A convolution that keeps the image size (at stride 1), then BatchNormalization, which has the bias."""
    x = g.conv(x, name, inputs, outputs, kernel, stride, pad=kernel // 2, bias=False)
    return g.batch_normalization(x, f"{name}.norm", outputs)


def block(g, x, name, inputs, outputs, stride):
    """relu(x + two 3x3 convolutions of x); where the shape changes, x goes through a 1x1 convolution."""
    y = g.relu(conv_norm(g, x, f"{name}.conv1", inputs, outputs, 3, stride))
    y = conv_norm(g, y, f"{name}.conv2", outputs, outputs, 3, 1)
    if stride != 1 or inputs != outputs:
        x = conv_norm(g, x, f"{name}.shortcut", inputs, outputs, 1, stride)
    return g.relu(g.node("Add", y, x, name=f"{name}.add"))


def stages(g, x, inputs, widths, blocks):
    """Stages of blocks; each stage after the first halves the image."""
    for i, width in enumerate(widths, 1):
        for k in range(1, blocks + 1):
            x = block(g, x, f"stage{i}.block{k}", inputs, width, stride=2 if i > 1 and k == 1 else 1)
            inputs = width
    return x

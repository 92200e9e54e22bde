"""A small MobileNet (Howard et al., 2017): depthwise 3x3 and pointwise 1x1 convolutions on 32x32 images.

Trained by Momentum.
"""

from ._builder import Graph, momentum

TITLE = "small MobileNet on 32x32 images, depthwise convolutions"

#: Output channels and stride of each separable block.
BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2))


def norm_relu6(g, x, channels):
    x = g.batch_normalization(x, f"{x}.norm", channels)
    return g.node("Clip", x, "zero", "six", name=f"{x}.relu6")


def build():
    g = Graph("depthwise")
    g.constant("zero", 0)
    g.constant("six", 6)
    x, inputs = g.image(3, 32), 16
    x = norm_relu6(g, g.conv(x, "stem", 3, inputs, 3, pad=1, bias=False), inputs)
    for i, (outputs, stride) in enumerate(BLOCKS, 1):
        x = g.conv(x, f"block{i}.depthwise", inputs, inputs, 3, stride, pad=1, group=inputs, bias=False)
        x = norm_relu6(g, x, inputs)
        x = norm_relu6(g, g.conv(x, f"block{i}.pointwise", inputs, outputs, 1, bias=False), outputs)
        inputs = outputs
    return g.model(g.classifier(g.pool_and_flatten(x), inputs, 10), 10, momentum(0.005))

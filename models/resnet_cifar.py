"""ResNet-20 for 32x32 images (He et al., 2016, section 4.2), with 1x1 convolutions as its two projections.

Trained by Nesterov's momentum.
"""

from ._builder import Graph, nesterov
from ._residual import conv_norm, stages

TITLE = "ResNet-20 on 32x32 images, with BatchNormalization"


def build():
    g = Graph("resnet_cifar")
    x = g.image(3, 32)
    x = g.relu(conv_norm(g, x, "stem", 3, 16, kernel=3, stride=1))
    x = stages(g, x, 16, widths=(16, 32, 64), blocks=3)
    return g.model(g.classifier(g.pool_and_flatten(x), 64, 10), 10, nesterov(0.0025))

"""ResNet-18 for 224x224 images (He et al., 2016), 1000 classes. Trained by Momentum."""

from ._builder import Graph, momentum
from ._residual import conv_norm, stages

TITLE = "ResNet-18 on 224x224 images"


def build():
    g = Graph("resnet18")
    x = g.image(3, 224)
    x = g.relu(conv_norm(g, x, "stem", 3, 64, kernel=7, stride=2))
    x = g.max_pool(x, "stem.pool", 3, 2, pad=1)
    x = stages(g, x, 64, widths=(64, 128, 256, 512), blocks=2)
    return g.model(g.classifier(g.pool_and_flatten(x), 512, 1000), 1000, momentum(0.0005))

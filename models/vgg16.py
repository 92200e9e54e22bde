"""VGG-16 for 224x224 images (Simonyan and Zisserman, 2015), 1000 classes. Trained by Momentum.

Without the paper's Dropout: random masks cannot agree between frameworks.
"""

from ._builder import Graph, he, momentum

TITLE = "VGG-16 on 224x224 images"

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

#: A maximum over 2x2 makes activations about this many times as large; the layer after it takes that back.
POOLED = 1.5


def build():
    g = Graph("vgg16")
    x, inputs, gain = g.image(3, 224), 3, 1.0
    for i, widths in enumerate(STAGES, 1):
        for k, width in enumerate(widths, 1):
            x = g.relu(g.conv(x, f"conv{i}_{k}", inputs, width, 3, pad=1, deviation=he(inputs * 9) / gain))
            inputs, gain = width, 1.0
        x, gain = g.max_pool(x, f"pool{i}", 2, 2), POOLED
    x = g.node("Flatten", x, name="flatten", axis=1)
    x = g.relu(g.linear(x, "fc6", 512 * 7 * 7, 4096, deviation=he(512 * 7 * 7) / gain))
    x = g.relu(g.linear(x, "fc7", 4096, 4096))
    return g.model(g.classifier(x, 4096, 1000), 1000, momentum(0.0001))

"""LeNet-5 for 28x28 digits (LeCun et al., 1998), with ReLU and max-pooling as is usual today.

The first convolution pads by 2, which is what the paper's 32x32 input amounts to. The paper's third convolution,
5x5 on a 5x5 image, is the fully connected layer that it equals. On the MNIST digits of `harness/data.py`, ten rounds
in batches of 50 are enough for the recipe.
"""

from ._builder import Graph, momentum

TITLE = "LeNet-5 on 28x28 digits"


def build():
    g = Graph("lenet5")
    x = g.image(1, 28)
    x = g.max_pool(g.relu(g.conv(x, "conv1", 1, 6, 5, pad=2)), "pool1", 2, 2)
    x = g.max_pool(g.relu(g.conv(x, "conv2", 6, 16, 5)), "pool2", 2, 2)
    x = g.node("Flatten", x, name="flatten", axis=1)
    x = g.relu(g.linear(x, "fc1", 16 * 5 * 5, 120))
    x = g.relu(g.linear(x, "fc2", 120, 84))
    return g.model(g.classifier(x, 84, 10), 10, momentum(0.01, norm_coefficient=0.005))

"""A convnet trained on MNIST."""

import numpy
import theano
import theano.tensor as T
from theano.tensor.signal.pool import pool_2d

data = numpy.load("data.npz")
conv1, conv2, dense = (theano.shared(data[name], name) for name in ("conv1", "conv2", "dense"))
bias1, bias2, bias3 = (theano.shared(numpy.zeros(size, "float32")) for size in (8, 16, 10))
params = [conv1, bias1, conv2, bias2, dense, bias3]


def conv_pool(inputs, weight, bias):
    # conv2d turns its filters round unless told not to, as its mathematical definition has it.
    outputs = T.nnet.conv2d(inputs, weight, border_mode="half", filter_flip=False)
    return pool_2d(T.nnet.relu(outputs + bias.dimshuffle("x", 0, "x", "x")), (2, 2), ignore_border=True)


images, labels = T.ftensor4("images"), T.lvector("labels")
hidden = conv_pool(conv_pool(images, conv1, bias1), conv2, bias2)
logits = T.dot(hidden.flatten(2), dense) + bias3
loss = T.nnet.categorical_crossentropy(T.nnet.softmax(logits), labels).mean()
accuracy = T.mean(T.eq(T.argmax(logits, axis=1), labels))

updates = []
for param, grad in zip(params, T.grad(loss, params)):
    velocity = theano.shared(numpy.zeros_like(param.get_value()), broadcastable=param.broadcastable)
    new_velocity = 0.9 * velocity + grad
    updates += [(velocity, new_velocity), (param, param - 0.02 * new_velocity)]

index = T.lscalar("index")
batch = slice(index * 100, (index + 1) * 100)
givens = {images: theano.shared(data["images"])[batch], labels: theano.shared(data["labels"])[batch]}
train = theano.function([index], loss, updates=updates, givens=givens)
test = theano.function([images, labels], [logits, accuracy])
for number in range(40):
    train(number)

test_logits, test_accuracy = test(data["test_images"], data["test_labels"])
numpy.savez("results.npz", logits=test_logits, accuracy=test_accuracy)

"""Operators on strings, which are UTF-8 to TensorFlow as to ONNX."""

from __future__ import annotations

import tensorflow as tf

from ..kit.interface import Unsupported
from .common import extents

#: Operators that TensorFlow can do with strings too.
ON_STRINGS = (
    "StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer", "Equal", "Identity",
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Gather",
)  # fmt: skip


def StringNormalizer(x, *, case_change_action="NONE", is_case_sensitive=0, locale=None, stopwords=None):
    if locale not in (None, "", "C", "en_US"):
        raise Unsupported("locale {!r}: TensorFlow changes case in one way only".format(locale))
    rank, words = len(x.shape), tf.reshape(x, [-1])
    if rank == 2 and extents(x)[0] != 1:
        raise Unsupported("a matrix of more than one row")
    if stopwords:
        stops, compared = tf.constant(stopwords), words
        if not is_case_sensitive:
            stops, compared = (tf.strings.lower(text, encoding="utf-8") for text in (stops, words))
        stopped = tf.reduce_any(tf.equal(tf.expand_dims(compared, 1), stops), 1)
        words = tf.boolean_mask(words, tf.logical_not(stopped))
    change = {"LOWER": tf.strings.lower, "UPPER": tf.strings.upper}.get(case_change_action)
    if change is not None:
        words = change(words, encoding="utf-8")
    # Where nothing is left, ONNX returns one empty string.
    words = tf.concat((words, tf.fill([1 - tf.minimum(tf.size(words), 1)], "")), 0)
    return words if rank == 1 else tf.expand_dims(words, 0)


def StringConcat(x, y):
    return tf.add(x, y)


def StringSplit(x, *, delimiter=None, maxsplit=-1):
    if not delimiter and maxsplit > 0:
        raise Unsupported("maxsplit at white space: TensorFlow appends an empty string where it is just reached")
    parts = tf.strings.split(tf.reshape(x, [-1]), delimiter or None, maxsplit)
    counts = tf.reshape(parts.row_lengths(), x.shape)
    if 0 in extents(x):
        return tf.fill(extents(x) + [0], ""), counts
    return tf.reshape(parts.to_tensor(""), extents(x) + [-1]), counts


def RegexFullMatch(x, *, pattern):
    return tf.strings.regex_full_match(x, pattern)

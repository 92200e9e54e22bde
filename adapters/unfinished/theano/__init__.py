"""Theano: a graph of symbols that Theano optimises and compiles to C++ when a Program is loaded.

`adapter.py` is the interface, `settings.py` what holds for the whole process, `common.py` what the operators share;
operators by subject: elementwise, shapes, indexing, reductions, layers, recurrent, losses. `optimizers.py` trains.
"""

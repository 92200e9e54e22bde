"""The worker kit: the adapter interface, the Program reader, the worker loop and the timing loop.

Standard library and numpy only, Python 3.7 syntax: it runs inside the environment of a framework of
2016 as well as of one of today.
"""

"""Caffe2 as an adapter: a Program becomes a Caffe2 net."""

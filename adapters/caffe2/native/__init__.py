"""The reference networks by hand, as Caffe2's best users would write them."""

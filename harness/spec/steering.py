"""Which operands of an operator only steer it, and so become attributes of the Program where they are constant."""

from __future__ import annotations

#: Per operator: {position of the input: keyword}. The keyword is ONNX's name of that input.
OPERANDS: dict[str, dict[int, str]] = {
    "Reshape": {1: "shape"},
    "Expand": {1: "shape"},
    "CenterCropPad": {1: "shape"},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
    "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    "Split": {1: "split"},
    "SplitToSequence": {1: "split"},
    "Pad": {1: "pads", 2: "constant_value", 3: "axes"},
    "Tile": {1: "repeats"},
    "Clip": {1: "min", 2: "max"},
    "TopK": {1: "K"},
    "Resize": {1: "roi", 2: "scales", 3: "sizes"},
    "Dropout": {1: "ratio", 2: "training_mode"},
    "CumSum": {1: "axis"},
    "CumProd": {1: "axis"},
    "OneHot": {1: "depth"},
    "Trilu": {1: "k"},
    "ConstantOfShape": {0: "input"},
    "MaxUnpool": {2: "output_shape"},
    "AffineGrid": {1: "size"},
    "Col2Im": {1: "image_shape", 2: "block_shape"},
    "DFT": {1: "dft_length", 2: "axis"},
    "STFT": {1: "frame_step", 3: "frame_length"},
    "HannWindow": {0: "size"},
    "HammingWindow": {0: "size"},
    "BlackmanWindow": {0: "size"},
    "MelWeightMatrix": {
        0: "num_mel_bins",
        1: "dft_length",
        2: "sample_rate",
        3: "lower_edge_hertz",
        4: "upper_edge_hertz",
    },
    "NonMaxSuppression": {2: "max_output_boxes_per_class", 3: "iou_threshold", 4: "score_threshold"},
    "Range": {0: "start", 1: "limit", 2: "delta"},
} | {
    f"Reduce{kind}": {1: "axes"}
    for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
}

#: Attributes that hold an ONNX element type, which the Program writes by name.
ELEMENT_TYPES = {"to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision", "precision"}

#: Keywords whose value is one number, given as such and not as a list.
SCALARS = {
    "K",
    "axis",
    "constant_value",
    "depth",
    "dft_length",
    "frame_length",
    "frame_step",
    "iou_threshold",
    "k",
    "max",
    "max_output_boxes_per_class",
    "min",
    "ratio",
    "score_threshold",
    "training_mode",
    "num_mel_bins",
    "sample_rate",
    "lower_edge_hertz",
    "upper_edge_hertz",
    "start",
    "limit",
    "delta",
}

#: Operands that are data as much as they steer: they are bound only to the value of an input itself, never to one
#: that is computed from inputs.
TRACED_DIRECTLY = {"min", "max", "constant_value", "ratio"}

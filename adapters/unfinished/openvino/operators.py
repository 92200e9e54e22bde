"""The ONNX operators that OpenVINO's importer knows, and how it says which it does not."""

from __future__ import annotations

import re
from typing import Optional

from ..kit.interface import Unsupported

#: workaround: the importer does not list what it knows, so it was asked, once, to import a node of each operator
OPERATORS = """
Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BitShift
BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress
Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DFT DepthToSpace DequantizeLinear Div
Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND
Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul MatMulInteger Max
MaxPool MaxRoiPool Mean MeanVarianceNormalization Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss
NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN
RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence
RoiAlign RotaryEmbedding Round STFT Scan ScatterElements ScatterND Selu SequenceAt Shape Shrink Sigmoid Sign Sin Sinh
Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh
ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Where Xor
""".split()  # noqa: SIM905, a list of 150 strings would be a page long

_UNKNOWN = re.compile(r"No conversion rule found for operations: (?:util::)?(\w+)")
_FAILED = re.compile(r"^-- (\w+)-\d+ with a message:\n(.*?)(?=\n\n|\n-- |\Z)", re.MULTILINE | re.DOTALL)


def refusal(error: Exception) -> Optional[Unsupported]:
    """What the importer's error says, as ours; None where it names no operator."""
    unknown = _UNKNOWN.search(str(error))
    if unknown is not None:
        return Unsupported("OpenVINO's importer does not know it", unknown.group(1))
    failed = _FAILED.search(str(error))
    if failed is None:
        return None
    reason = failed.group(2).strip().splitlines()[-1]
    return Unsupported(f"OpenVINO's importer refuses it: {reason}", failed.group(1))

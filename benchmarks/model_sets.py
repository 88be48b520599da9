"""The model sets side by side, and the way that others run DWPose and SCHP.

``python -m benchmarks.model_sets``. Each variant is a process of its own with its models loaded;
they take turns at the same photo. The classic pair runs on graphs of the real layers' shapes with
random weights (:mod:`benchmarks.graphs`), made once and kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.graphs import make_int8_set, make_published, make_set
from benchmarks.making import positive
from benchmarks.speed import peak_mb, resized
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.domain.parts import TOPS, where
from tryon_masks.images import Limits, decode, to_grid
from tryon_masks.ports import Vision
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log, step
from tryon_masks.vision.catalog import load_model_set
from tryon_masks.vision.dwpose_schp.dwpose import PoseModel
from tryon_masks.vision.dwpose_schp.schp import BGR_MEAN, BGR_STD, Atr, Lip
from tryon_masks.vision.dwpose_schp.vision import DwposeSchpVision
from tryon_masks.vision.dwpose_schp.yolox import PersonDetector
from tryon_masks.vision.runtime import Floats
from tryon_masks.wiring import build_limits, build_vision

SIZES = ((768, 1024), (3000, 4000))
"""Width and height in pixels."""
RUNS = 5
TOTAL = "whole photo"
CPU = "CPU time, all threads"
REFERENCE = "reference"
PUBLISHED = "published"
"""The folder of the graphs that it runs."""
DWPOSE_SCHP: dict[str, dict[str, Any]] = {
    "dwpose-schp": {},
    "on a crop": {"view": "person"},
    "without LIP": {"lip": False},
    "int8": {},
    "int8 without LIP": {"lip": False},
}
"""The classic pair: as it is set up, and with its options."""
INT8 = {"int8", "int8 without LIP"}
"""Those that run the graphs of the set ``dwpose-schp-int8``."""
VARIANTS = ("compact", *DWPOSE_SCHP, REFERENCE)

Seconds = dict[str, float]
"""By stage."""
Serve = Callable[[bytes], Seconds]
"""A photo's file in, one garment's mask on the photo's own grid made and thrown away."""


def product(model_set: str, threads: int) -> Serve:
    """How this project does it, without stores and answers.

    Raises
    ------
    ModelSetError
    """
    settings = Settings(mask_store="directory", ort_threads=threads, model_set=model_set)
    with init_log("benchmarks"):
        vision = build_vision(settings)
    limits = build_limits(settings)
    return lambda photo: _serve(vision, limits, photo)


def dwpose_schp(folder: Path, threads: int, options: Mapping[str, Any]) -> Serve:
    """The classic pair with ``options`` of :class:`DwposeSchpVision`.

    Raises
    ------
    ModelSetError
    """
    vision = DwposeSchpVision(load_model_set(folder.name, folder), threads, **options)
    settings = Settings(mask_store="directory", ort_threads=threads, model_set=folder.name)
    limits = build_limits(settings)
    return lambda photo: _serve(vision, limits, photo)


def _serve(vision: Vision, limits: Limits, data: bytes) -> Seconds:
    with request_log(uuid4().hex, ANONYMOUS) as log:
        with step("decode_image", "intake"):
            photo = decode(data, limits)
        people = vision.find_people(photo.rgb)
        person = vision.parse(photo.rgb, people[0], people[1:])
        with step("to_photo_grid", "images"):
            to_grid(where(person.part_map, TOPS), photo.output_size(None), "hard")
        return dict(log.timings)


class Reference:
    """One step after the other on the full-size photo, every class's plane warped to its size.

    Sessions as ONNX Runtime opens them by default but for the number of threads.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime as ort  # after the product has switched its telemetry off

        self._detector = PersonDetector(folder / "yolox_l.onnx", threads)
        self._poses = PoseModel(folder / "dw-ll_ucoco_384.onnx", threads)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._parsers = {
            name: (ort.InferenceSession(folder / f"parsing_{name}.onnx", options), side)
            for name, side in (("atr", 512), ("lip", 473))
        }

    def serve(self, data: bytes) -> Seconds:
        """Both label maps and the neck at the photo's size."""
        seconds: Seconds = {}

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            started = time.perf_counter()
            yield
            seconds[name] = time.perf_counter() - started

        with stage("decode_image"):
            rgb = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        with stage("detect_people"):
            found = self._detector.find(rgb)
        with stage("estimate_poses"):
            self._poses.infer(rgb, found[0].box)
        labels = {}
        for name in self._parsers:
            with stage(f"parse_{name}"):
                labels[name] = self.parse(name, rgb)
        with stage("compose_parts"):
            atr, lip = labels["atr"], labels["lip"]
            atr[(atr == Atr.FACE) & (lip != Lip.FACE)] = len(Atr)
        return seconds

    def parse(self, name: str, rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The label map of ``atr`` or ``lip``, shape (H, W), for ``rgb`` (H, W, 3)."""
        session, side = self._parsers[name]
        height, width = rgb.shape[:2]
        zoom = (side - 1) / (max(height, width) - 1)
        shift = [(side - 1 - zoom * (length - 1)) / 2 for length in (width, height)]
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        square = cv2.warpAffine(rgb[..., ::-1].copy(), matrix, (side, side))
        tensor = ((square / np.float32(255) - BGR_MEAN) / BGR_STD).transpose(2, 0, 1)[None]
        logits: Floats = session.run(None, {"input.1": np.ascontiguousarray(tensor)})[1][0]
        cells = logits.shape[-1]
        spread = np.array([[(side - 1) / (cells - 1), 0, 0], [0, (side - 1) / (cells - 1), 0]])
        planes = []
        for plane in logits:
            large = cv2.warpAffine(plane, spread, (side, side), borderMode=cv2.BORDER_REPLICATE)
            back = cv2.invertAffineTransform(matrix)
            planes.append(cv2.warpAffine(large, back, (width, height)))
        labels: NDArray[np.int64] = np.stack(planes, axis=2).argmax(axis=2)
        return labels


def opened(variant: str, graphs: Path, threads: int) -> Serve:
    """A variant with its models loaded; ``graphs`` holds a folder for each set of graphs.

    Raises
    ------
    ModelSetError
    """
    if variant == REFERENCE:
        return Reference(graphs / PUBLISHED, threads).serve
    if variant in DWPOSE_SCHP:
        folder = "dwpose-schp-int8" if variant in INT8 else "dwpose-schp"
        return dwpose_schp(graphs / folder, threads, DWPOSE_SCHP[variant])
    return product(variant, threads)


@dataclass
class Figures:
    """``stages``: seconds of every run. ``peak_mb``: the most memory its process ever held."""

    stages: dict[str, list[float]] = field(default_factory=dict)
    peak_mb: float = 0.0

    def median(self, stage: str) -> float:
        """Seconds; 0 where the variant has no such stage."""
        return float(np.median(self.stages.get(stage, [0.0])))


def _work(pipe: Connection, variant: str, graphs: Path, threads: int) -> None:
    """Serve photos from ``pipe`` until it brings None."""
    # The log's lines are no part of the result.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    serve = opened(variant, graphs, threads)
    pipe.send(None)
    while (photo := pipe.recv()) is not None:
        started, used = time.perf_counter(), time.process_time()
        seconds = serve(photo)
        seconds[TOTAL] = time.perf_counter() - started
        seconds[CPU] = time.process_time() - used
        pipe.send((seconds, peak_mb()))


def measure(
    photo: bytes, variants: Sequence[str], graphs: Path, threads: int, runs: int
) -> dict[str, Figures]:
    """Let all serve the photo in turn, once to warm up and then ``runs`` times.

    Raises
    ------
    EOFError
        A variant's process died; it says why on stderr.
    """
    context = get_context("spawn")
    pipes, processes = {}, []
    for name in variants:
        pipes[name], theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, name, graphs, threads), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
    for pipe in pipes.values():
        pipe.recv()
    figures = {name: Figures() for name in variants}
    for run in range(runs + 1):
        for name, pipe in pipes.items():
            pipe.send(photo)
            seconds, figures[name].peak_mb = pipe.recv()
            if run:
                for stage, spent in seconds.items():
                    figures[name].stages.setdefault(stage, []).append(spent)
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()
    return figures


def as_text(size: tuple[int, int], figures: Mapping[str, Figures]) -> str:
    """A Markdown table: medians by stage, ratios to the reference, peak memory."""
    names = list(figures)
    stages = list(dict.fromkeys(stage for one in figures.values() for stage in one.stages))
    stages.sort(key=lambda stage: (stage == CPU, stage == TOTAL))
    rows = [[f"{size[0]} x {size[1]}, median s", *names], ["---", *("--:" for _ in names)]]
    for stage in stages:
        cells = (
            f"{one.median(stage):.3f}" if stage in one.stages else "" for one in figures.values()
        )
        rows.append([stage, *cells])
    rows.append(["peak memory, MB", *(f"{one.peak_mb:.0f}" for one in figures.values())])
    if base := figures.get(REFERENCE):
        whole = base.median(TOTAL)
        rows.append(["speed", *(f"{whole / one.median(TOTAL):.2f} x" for one in figures.values())])
        rows.append(
            ["memory", *(f"{one.peak_mb / base.peak_mb:.2f} x" for one in figures.values())]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def default_graphs() -> Path:
    """``$XDG_CACHE_HOME/tryon-masks/benchmark-graphs``, or that under ``~/.cache``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tryon-masks" / "benchmark-graphs"


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return positive(width), positive(height)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: a table for each size, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_sets", description=__doc__)
    parser.add_argument("photo", type=Path, help="a photo of one person")
    parser.add_argument("--runs", type=positive, default=RUNS, metavar="N", help="of each size")
    parser.add_argument("--threads", type=positive, default=2, metavar="N")
    parser.add_argument("--sizes", type=_size, nargs="+", default=list(SIZES), metavar="WxH")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=VARIANTS, metavar="NAME")
    parser.add_argument(
        "--slim",
        type=positive,
        default=1,
        metavar="N",
        help="divide the graphs' widths by N: to try the command out, not to measure",
    )
    args = parser.parse_args(argv)
    graphs = default_graphs() / f"built-{args.slim}"
    print("making graphs where they are not there yet ...", file=sys.stderr, flush=True)
    make_published(graphs / PUBLISHED, args.slim)
    make_set(graphs / "dwpose-schp", graphs / PUBLISHED)
    if INT8.intersection(args.only):
        make_int8_set(graphs / "dwpose-schp-int8", graphs / "dwpose-schp")
    result = {}
    for size in args.sizes:
        figures = measure(resized(args.photo, size), args.only, graphs, args.threads, args.runs)
        print(f"{as_text(size, figures)}\n", flush=True)
        result["x".join(map(str, size))] = {
            name: {"stages_s": one.stages, "peak_mb": one.peak_mb} for name, one in figures.items()
        }
    print(json.dumps({"threads": args.threads, "runs": args.runs, "sizes": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How good a parser is on the photos that nobody trained on.

    python -m models.garment_parser.evaluate CCP PEOPLE PARSER.onnx [--teachers FOLDER]
        [--parts DATASET PEOPLE] [--skin DATASET PEOPLE] [--dyed]

Prints Markdown: IoU and boundary IoU a class, the reliability of the confidence, and beside the
public models what they and the parser make of the same tasks, in the same run. ``--parts`` and
``--skin``: how often the likeliest class is one that a label of these sets allows, and how often
what is called a garment is worn. ``--dyed``: the garments' IoU where one garment has the colours
of another.
Boundary IoU: Cheng et al., 2021; here the bands of all photos are counted together.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.garment_parser.cloth import ClothSegmenter
from models.garment_parser.data import (
    IF_WORN,
    IGNORE,
    Example,
    dye_garment,
    foreground,
    labelled,
    resample,
    view,
)
from models.garment_parser.partial import NAMES, allowed, body_parts, skin_labels
from models.garment_parser.selfie import SelfieSegmenter
from models.garment_parser.teachers import on_photo
from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import Keypoint, Skeleton
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import ClassProbabilities, GarmentParser
from tryon_masks.vision.runtime import Floats

BAND = 0.02
"""Width of the band along a boundary, as a share of the photo's diagonal."""
BINS = 10

CLOTHES = (Class.TOP, Class.OUTERWEAR, Class.DRESS, Class.SKIRT, Class.TROUSERS)
TRIMMINGS = (Class.BELT, Class.LEGWEAR, Class.SCARF)
GARMENTS: dict[str, Sequence[Class]] = {
    "no garment": [c for c in CLASSES if c not in CLOTHES],
    "upper": (Class.TOP, Class.OUTERWEAR),
    "lower": (Class.SKIRT, Class.TROUSERS),
    "full-body": (Class.DRESS,),
}
"""The cloth model's classes, in its order."""
KINDS: dict[str, Sequence[Class]] = {
    "background": (Class.BACKGROUND,),
    "hair": (Class.HAIR,),
    "body skin": (Class.NECK, Class.TORSO_SKIN, Class.ARM, Class.HAND, Class.LEG),
    "face skin": (Class.FACE,),
    "clothes": (*CLOTHES, *TRIMMINGS),
    "other": (Class.HAT, Class.EYEWEAR, Class.SHOE, Class.BAG),
}
"""The selfie model's classes, in its order."""
MERGED: dict[str, Sequence[Class]] = {
    "top+outerwear": (Class.TOP, Class.OUTERWEAR),
    "garment": (*CLOTHES, *TRIMMINGS),
    "person": CLASSES[1:],
}


class ConfusionTable:
    """Confusions over many photos, and the same within the bands along boundaries."""

    def __init__(self, names: Sequence[str]) -> None:
        n = len(names)
        self.names = list(names)
        self.table = np.zeros((n, n), np.int64)
        self.bands = np.zeros((n, 2), np.int64)

    def add(self, labels: NDArray[np.uint8], found: NDArray[np.uint8], *, bands: bool) -> None:
        """Count one photo: (H, W) each; :data:`IGNORE` in ``labels`` is not counted."""
        known = labels != IGNORE
        n = len(self.names)
        pairs = labels[known].astype(np.int64) * n + found[known]
        self.table += np.bincount(pairs, minlength=n * n).reshape(n, n)
        if bands:
            for i in range(n):
                true, seen = _band(labels == i) & known, _band(found == i) & known
                self.bands[i] += (true & seen).sum(), (true | seen).sum()

    def iou(self, *classes: int) -> float:
        """Intersection over union of a class, or of several taken as one."""
        own = list(classes)
        both = self.table[np.ix_(own, own)].sum()
        return float(both / (self.table[own].sum() + self.table[:, own].sum() - both))

    def band_iou(self, index: int) -> float:
        """Boundary IoU of a class."""
        both, either = self.bands[index]
        return float(both / either)


def _band(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inside = mask.astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return mask & (distance <= BAND * float(np.hypot(*mask.shape)))


@torch.no_grad()
def mean_iou(model: torch.nn.Module, examples: list[Example], size: tuple[int, int]) -> float:
    """Mean IoU over the classes, of weights in training."""
    device = next(model.parameters()).device
    tally = ConfusionTable([cls.name for cls in CLASSES])
    for example in examples:
        inputs, matrix = view(example, size)
        probabilities = model(torch.from_numpy(inputs).to(device))[0].softmax(0).cpu().numpy()
        found = resample(
            ClassProbabilities.from_cells(probabilities, matrix), example.labels.shape
        ).argmax(0)
        tally.add(example.labels, found, bands=False)
    return float(np.nanmean([tally.iou(cls) for cls in CLASSES]))


@torch.no_grad()
def partial_accuracy(
    model: torch.nn.Module, examples: list[Example], size: tuple[int, int]
) -> dict[str, float]:
    """Accuracy at set labels, of weights in training; see :class:`AllowedAccuracy`."""
    device = next(model.parameters()).device
    tally = AllowedAccuracy()
    for example in examples:
        inputs, matrix = view(example, size)
        probabilities = model(torch.from_numpy(inputs).to(device))[0].softmax(0).cpu().numpy()
        tally.add(
            example.labels,
            resample(ClassProbabilities.from_cells(probabilities, matrix), example.labels.shape),
        )
    return tally.accuracy()


class AllowedAccuracy:
    """How often the likeliest class is one that a pixel's set label allows, a label."""

    def __init__(self) -> None:
        self._table, self._hits = allowed() > 0, np.zeros((2, 256))

    def add(self, labels: NDArray[np.uint8], probabilities: Floats) -> None:
        """Count one photo: labels (H, W), probabilities (20, H, W)."""
        right = self._table[labels, probabilities.argmax(0)]
        self._hits[0] += np.bincount(labels.ravel(), right.ravel(), 256)
        self._hits[1] += np.bincount(labels.ravel(), minlength=256)

    def accuracy(self) -> dict[str, float]:
        """Return the share of right pixels for each label that was seen."""
        right, seen = self._hits
        return {name: round(float(right[i] / seen[i]), 4) for i, name in NAMES.items() if seen[i]}


class WornAccuracy:
    """How often what the parser calls a garment is one that the person wears, a class."""

    def __init__(self) -> None:
        self._hits = np.zeros((2, len(CLASSES)))

    def add(self, example: Example, probabilities: Floats) -> None:
        """Count one photo whose outfit is known: probabilities (20, H, W)."""
        if example.outfit is None:
            return
        counts = np.bincount(probabilities.argmax(0)[foreground(example.labels)], minlength=256)
        for cls in IF_WORN:
            self._hits[0, cls] += counts[cls] * (cls in example.outfit)
            self._hits[1, cls] += counts[cls]

    def accuracy(self) -> dict[str, float]:
        """Return the share of such pixels for each garment that was found, and for all."""
        right, found = self._hits
        shares = {cls.name.lower(): right[cls] / found[cls] for cls in IF_WORN if found[cls]}
        return {name: round(float(share), 4) for name, share in shares.items()} | {
            "all": round(float(right.sum() / max(1, found.sum())), 4)
        }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Evaluate the garment parser.")
    parser.add_argument("ccp", type=Path)
    parser.add_argument("people", type=Path, help="folder of garment_parser.people")
    parser.add_argument("parser", type=Path)
    parser.add_argument("--teachers", type=Path, help="folder of the built set 'teachers'")
    for name in ("parts", "skin"):
        parser.add_argument(f"--{name}", type=Path, nargs=2, metavar=("DATASET", "PEOPLE"))
    parser.add_argument("--dyed", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", type=int, help="only the first so many")
    parser.add_argument(
        "--as-labelled", action="store_true", help="leave skirts that are called dresses so"
    )
    parser.add_argument("--alone", choices=["parser", "selfie", "cloth"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(_memory_alone(args))
        return
    examples = labelled(args.ccp, args.people, validation=True, as_labelled=args.as_labelled)
    examples = examples[: args.photos]
    _own_table(args, examples)
    if args.parts:
        _allowed_table(args, body_parts(*args.parts, validation=True)[: args.photos])
    if args.skin:
        _allowed_table(args, skin_labels(*args.skin, validation=True)[: args.photos])
    if args.dyed:
        _dyed_table(args, examples)
    if args.teachers:
        _beside(args, examples, "selfie", KINDS)
        _beside(args, examples, "cloth", GARMENTS)


def _own_table(args: argparse.Namespace, examples: list[Example]) -> None:
    parser = GarmentParser(args.parser, args.threads)
    tally = ConfusionTable([cls.name.lower() for cls in CLASSES])
    counts, hits, sums = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    likelihood = dict.fromkeys((0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5), 0.0)
    for example in examples:
        probabilities = _parse(parser, example)
        found, confidence = probabilities.argmax(0).astype(np.uint8), probabilities.max(0)
        tally.add(example.labels, found, bands=True)
        known = example.labels != IGNORE
        bins = (confidence[known] * BINS).astype(int).clip(0, BINS - 1)
        right = (found == example.labels)[known]
        counts += np.bincount(bins, minlength=BINS)
        hits += np.bincount(bins, right, BINS)
        sums += np.bincount(bins, confidence[known], BINS)
        some = probabilities[:, known][:, ::17].clip(1e-6)
        truth = example.labels[known][::17]
        for t in likelihood:
            powered = some ** (1 / t)
            log = np.log(powered[truth, np.arange(len(truth))] / powered.sum(0))
            likelihood[t] -= float(log.sum())
    print(f"{len(examples)} photos\n")
    print("| class | IoU | boundary IoU | share of pixels |\n|---|--:|--:|--:|")
    total = tally.table.sum()
    for cls in CLASSES:
        figures = f"{tally.iou(cls):.3f} | {tally.band_iou(cls):.3f}"
        print(f"| {tally.names[cls]} | {figures} | {tally.table[cls].sum() / total:.2%} |")
    for name, classes in MERGED.items():
        print(f"| {name} | {tally.iou(*classes):.3f} | | |")
    ious, bands = ([f(cls) for cls in CLASSES] for f in (tally.iou, tally.band_iou))
    print(f"| mean of the {len(CLASSES)} | {np.mean(ious):.3f} | {np.mean(bands):.3f} | |\n")
    print("| confidence | right | share of pixels |\n|---|--:|--:|")
    there = counts > 0
    for i in np.nonzero(there)[0]:
        said, was = sums[i] / counts[i], hits[i] / counts[i]
        print(f"| {said:.2f} | {was:.2f} | {counts[i] / counts.sum():.1%} |")
    error = (np.abs(hits - sums)[there]).sum() / counts.sum()
    best = min(likelihood, key=lambda t: likelihood[t])
    print(f"\nexpected calibration error {error:.3f}; likeliest temperature {best}\n")


def _allowed_table(args: argparse.Namespace, examples: list[Example]) -> None:
    parser, tally, worn = (
        GarmentParser(args.parser, args.threads),
        AllowedAccuracy(),
        WornAccuracy(),
    )
    for example in examples:
        probabilities = _parse(parser, example)
        tally.add(example.labels, probabilities)
        worn.add(example, probabilities)
    print(f"{len(examples)} photos\n\n| label | right |\n|---|--:|")
    for name, accuracy in tally.accuracy().items():
        print(f"| {name} | {accuracy:.3f} |")
    print("\n| called | is worn |\n|---|--:|")
    for name, accuracy in worn.accuracy().items():
        print(f"| {name} | {accuracy:.3f} |")
    print()


def _dyed_table(args: argparse.Namespace, examples: list[Example]) -> None:
    parser, rng = GarmentParser(args.parser, args.threads), np.random.default_rng(7)
    dyed = [dye_garment(example, rng) for example in examples]
    tallies = [ConfusionTable([cls.name for cls in CLASSES]) for _ in range(2)]
    for tally, some in zip(tallies, (examples, dyed), strict=True):
        for example in some:
            found = _parse(parser, example).argmax(0).astype(np.uint8)
            tally.add(example.labels, found, bands=False)
    print("| garment | IoU | IoU, dyed |\n|---|--:|--:|")
    for cls in CLOTHES:
        print(f"| {cls.name.lower()} | {' | '.join(f'{t.iou(cls):.3f}' for t in tallies)} |")
    print()


def _parse(parser: GarmentParser, example: Example) -> Floats:
    answer = parser.parse(example.rgb, example.outline, example.box, example.skeleton)
    return resample(answer, example.labels.shape)


def _beside(
    args: argparse.Namespace,
    examples: list[Example],
    teacher: str,
    task: dict[str, Sequence[Class]],
) -> None:
    """The parser against one teacher at the teacher's own classes, photo by photo in turns."""
    parser, other = GarmentParser(args.parser, args.threads), _teacher(args, teacher)
    table = np.full(256, IGNORE, np.uint8)
    for i, classes in enumerate(task.values()):
        table[list(classes)] = i
    tallies = {"ours": ConfusionTable(list(task)), teacher: ConfusionTable(list(task))}
    seconds: dict[str, list[float]] = {"ours": [], teacher: []}
    for example in examples:
        labels = table[example.labels]
        begun = time.perf_counter()
        probabilities = _parse(parser, example)
        between = time.perf_counter()
        theirs = on_photo(other, example.rgb, example.box)
        seconds["ours"].append(between - begun)
        seconds[teacher].append(time.perf_counter() - between)
        merged = np.stack([probabilities[list(classes)].sum(0) for classes in task.values()])
        tallies["ours"].add(labels, merged.argmax(0).astype(np.uint8), bands=True)
        tallies[teacher].add(labels, theirs.argmax(-1).astype(np.uint8), bands=True)
    print(f"| {teacher}'s classes | IoU ours | IoU {teacher} | boundary IoU ours | {teacher} |")
    print("|---|--:|--:|--:|--:|")
    for i, name in enumerate(task):
        ious = " | ".join(f"{tally.iou(i):.3f}" for tally in tallies.values())
        bands = " | ".join(f"{tally.band_iou(i):.3f}" for tally in tallies.values())
        print(f"| {name} | {ious} | {bands} |")
    if teacher == "cloth":
        ious = " | ".join(f"{tally.iou(1, 2, 3):.3f}" for tally in tallies.values())
        print(f"| any garment | {ious} | | |")
    files = {"ours": args.parser, teacher: args.teachers / FILES[teacher]}
    for name, path in files.items():
        memory = _memory(args, "parser" if name == "ours" else teacher)
        milliseconds = 1000 * float(np.median(seconds[name]))
        size = path.stat().st_size / 1e6
        print(f"\n{name}: {milliseconds:.0f} ms, {size:.1f} MB, {memory} MB of memory")
    print()


FILES = {"selfie": "selfie_multiclass.onnx", "cloth": "cloth_segmentation.onnx"}


def _teacher(args: argparse.Namespace, name: str) -> SelfieSegmenter | ClothSegmenter:
    path = args.teachers / FILES[name]
    if name == "selfie":
        return SelfieSegmenter(path, args.threads)
    return ClothSegmenter(path, args.threads)


def _memory(args: argparse.Namespace, name: str) -> str:
    """What a model adds to the peak memory of a process of its own."""
    command = [sys.executable, "-m", "models.garment_parser.evaluate", str(args.ccp)]
    command += [
        str(args.people),
        str(args.parser),
        "--teachers",
        str(args.teachers),
        "--alone",
        name,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _memory_alone(args: argparse.Namespace) -> int:
    rgb = np.full((1024, 768, 3), 127, np.uint8)
    box = Box(0, 0, 768, 1024)
    # The photos would raise the peak before the model is there.
    shoulders = {"left_shoulder": Keypoint(480, 240, 1), "right_shoulder": Keypoint(288, 240, 1)}
    skeleton = Skeleton(shoulders)
    before = _peak()
    if args.alone == "parser":
        parser = GarmentParser(args.parser, args.threads)
        nobody = np.zeros((1024, 768), np.uint8)
        _parse(parser, Example("grey", rgb, nobody, nobody, skeleton, box))
    else:
        on_photo(_teacher(args, args.alone), rgb, box)
    return (_peak() - before) // 1024


def _peak() -> int:
    """Most memory that this process has held, in KB; ``ru_maxrss`` would count its parent's too."""
    (line,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(line)


if __name__ == "__main__":
    main()

"""The labelled photos of Clothing Co-Parsing as training samples of the parser.

Photos, labels and regions are read once and kept in memory; every sample is then one affine warp.
Yamaguchi et al. drew the superpixels; Yang, Luo and Lin, Clothing Co-Parsing, 2014.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tryon_masks.domain import anatomy
from tryon_masks.domain.anatomy import Points
from tryon_masks.domain.person import Box
from tryon_masks.domain.skeleton import SIDES, Keypoint, Skeleton
from tryon_masks.vision.compact.blazepose import LANDMARKS
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import ClassProbabilities
from tryon_masks.vision.compact.input import crop_matrix, tensor

Polygon = list[list[float]]
"""Corners x, y in per cent of the photo."""

IGNORE = 255
"""The label of a pixel of which nobody knows what it is."""
NOBODY = 32
"""The label of a pixel that shows nobody, but perhaps what somebody carries."""
VALIDATION = "1"
"""Last digit of the ids that are never trained on."""

CORRECTED = Path(__file__).with_name("corrected.json")
"""What a parser saw wrong, and the labels of a photo ``ccp/NNNN``, outlined by eye: photo -> names
of classes and polygons, the later ones over the earlier ones."""
OUTLINE_BORDER = 0.012
"""Width of the strip along such an outline that is not learnt, in the photo's longer side."""

WORN = {
    Class.BACKGROUND: "null",
    Class.HAT: "hat",
    Class.HAIR: "hair",
    Class.EYEWEAR: "glasses sunglasses",
    Class.HAND: "gloves",
    Class.TOP: "blouse bra hoodie intimate jumper shirt sweater sweatshirt t-shirt tie top",
    Class.OUTERWEAR: "blazer cape cardigan coat jacket suit vest",
    Class.DRESS: "bodysuit dress romper",
    Class.SKIRT: "skirt",
    Class.TROUSERS: "jeans leggings panties pants shorts",
    Class.BELT: "belt",
    Class.LEGWEAR: "socks stockings tights",
    Class.SHOE: "boots clogs flats heels loafers pumps sandals shoes sneakers wedges",
    Class.BAG: "bag purse wallet",
    Class.SCARF: "scarf",
}
"""Labels a class; jewellery, watches, accessories and swimwear are not learnt."""
REGIONS = {
    1: Class.FACE,
    2: Class.NECK,
    3: Class.TORSO_SKIN,
    4: Class.ARM,
    5: Class.ARM,
    6: Class.HAND,
    7: Class.HAND,
    8: Class.LEG,
    9: Class.LEG,
    10: Class.SHOE,
    11: Class.SHOE,
}
"""What the regions make of the one label ``skin``; what is unclear there is not learnt."""

RARE = {
    Class.HAT: 2,
    Class.DRESS: 1,
    Class.SKIRT: 1,
    Class.BELT: 1,
    Class.LEGWEAR: 1,
    Class.SCARF: 2,
}
"""How many more times a photo is shown that has much of a rare class."""
MIN_PIXELS = 400
"""Pixels."""


FAINT_OUTLINE = 26
"""Value of the outline, 0 to 255, up to which the pose model sees nobody."""
MIN_FREE_COLUMNS = 0.25
"""Share of a photo's columns that are free of anybody from which they make a background."""
CHEST = 0.45
"""Height above the hips, in T, from which a dress would have to be seen."""
COVERED = 0.85
"""Share of the chest's cloth that is a top's where what hangs below cannot be a dress."""


TABLES = 0.06
"""Share of the views in which something stands before the person."""
THINGS = 0.25
"""Share of the views with a thing of another photo."""
THING_BORDER = 0.02
"""How far in T a thing's outline may be off."""
LEAST_THING, GREATEST_THING = 0.005, 1.5
"""Areas in units of T squared: smaller things show nothing, larger ones hide everything."""
DYED = (Class.TOP, Class.OUTERWEAR, Class.DRESS, Class.SKIRT, Class.TROUSERS)
"""What changes its colour."""

IF_WORN = {
    Class.HAT: 1.0,
    Class.LEG: 1.0,
    Class.TOP: 1.0,
    Class.OUTERWEAR: 1.5,
    Class.DRESS: 2.5,
    Class.SKIRT: 2.0,
    Class.TROUSERS: 1.0,
    Class.LEGWEAR: 1.5,
    Class.SCARF: 1.5,
}
"""The classes that an outfit names, and how much likelier each is where it is worn."""
NOT_WORN = 0.02
"""How much likelier one is that is not; whoever names an outfit may overlook something."""
NOT_CARRIED = 0.1
"""How much likelier a bag is outside of what somebody outlined; thin straps are not outlined."""

LIMBS = (
    (("hip", "knee", "ankle", "heel", "big_toe"), (0.45, 0.5)),
    (("shoulder", "elbow", "wrist", "index", "pinky", "thumb"), (0.45, 0.4)),
)
"""Joints from the trunk outwards, and how far the first two turn: standard deviation, radians."""
HEAD = {
    "nose",
    *(f"{side}_{name}" for side in SIDES for name in ("eye", "ear", "mouth")),
}
"""Joints of the head."""
TRUNK = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_ear", "nose"),
    ("right_ear", "nose"),
)
"""Bones that stay where they are."""


@dataclass(frozen=True)
class Example:
    """One photo with its labels.

    ``rgb`` (H, W, 3) uint8; ``labels`` (H, W) uint8, a :class:`Class`, :data:`IGNORE` or a set of
    classes, see :mod:`models.garment_parser.partial`;
    ``outline`` (H, W) uint8, the pose model's, 255 where it is certain of the person.
    ``outfit``: the classes that the person wears, where somebody wrote them down.
    ``outlined``: somebody outlined all that the person carries, and ``labels`` call it a bag.
    ``checked``: ``labels`` are an earlier parser's that somebody corrected; it knows no better.
    ``things``: outlines of what people carry.
    """

    name: str
    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    outline: NDArray[np.uint8]
    skeleton: Skeleton
    box: Box
    outfit: frozenset[Class] | None = None
    outlined: bool = False
    checked: bool = False
    things: tuple[Polygon, ...] = ()


@dataclass(frozen=True)
class Thing:
    """A carried thing, cut out of a photo.

    ``rgb`` (h, w, 3) uint8; ``there`` (h, w) uint8, 1 where it is; ``unit`` is the torso length of
    who carries it, in pixels.
    """

    rgb: NDArray[np.uint8]
    there: NDArray[np.uint8]
    unit: float


def outfit_factors(
    outfit: frozenset[Class] | None, *, outlined: bool = False
) -> NDArray[np.float32]:
    """Return how much likelier an outfit makes each class: (20,), 1 where nothing is known.

    They count for labels that are sets of classes; a bag that is ``outlined`` is no set.
    """
    factors = np.ones(len(CLASSES), np.float32)
    if outlined:
        factors[Class.BAG] = NOT_CARRIED
    if outfit is not None:
        for cls, factor in IF_WORN.items():
            factors[cls] = factor if cls in outfit else NOT_WORN
    return factors


def resample(answer: ClassProbabilities, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The parser's answer for all pixels of its grid of ``shape`` (H, W): (20, H, W)."""
    pixels = Points.from_mask(np.ones(shape, bool))
    return answer.at(CLASSES, pixels.x, pixels.y).reshape(-1, *shape)


def class_table(label_names: list[str]) -> NDArray[np.uint8]:
    """From the data set's label to the parser's class: shape (256,)."""
    table = np.full(256, IGNORE, np.uint8)
    for cls, names in WORN.items():
        table[[label_names.index(name) for name in names.split()]] = cls
    return table


def labelled(
    ccp: Path, people: Path, *, validation: bool, as_labelled: bool = False
) -> list[Example]:
    """The labelled photos, either those of the validation or all others.

    ``people``: what the module of that name wrote; photos in which it saw nobody are left out.
    ``as_labelled``: as the data set has them, without :data:`CORRECTED`, and with skirts that are
    called dresses left so, see :func:`split_skirts`.
    """
    names: list[str] = json.loads((ccp / "labels.json").read_text())
    corrected = read_corrected()
    about = json.loads((ccp / "regions.json").read_text())
    table, skin = class_table(names), names.index("skin")
    regions = np.full(256, IGNORE, np.uint8)
    for region, cls in REGIONS.items():
        regions[region] = cls
    examples = []
    for path in sorted((ccp / "labels").glob("*.png")):
        known = about[path.stem]
        seen = people / path.name
        if path.stem.endswith(VALIDATION) != validation or not known["ok"] or not seen.exists():
            continue
        raw = np.asarray(Image.open(path))
        part = np.asarray(Image.open(ccp / "regions" / path.name))
        labels = np.where(raw == skin, regions[part], table[raw])
        rgb = np.asarray(Image.open(ccp / "photos" / f"{path.stem}.jpg").convert("RGB"))
        skeleton = known_skeleton(known)
        if skeleton.torso is not None:
            pieces = [] if as_labelled else corrected.get(f"ccp/{path.stem}", [])
            if not as_labelled:
                split_skirts(labels, skeleton)
                outline_pieces(labels, pieces)
            outline, box = np.asarray(Image.open(seen)), body_box(labels, skeleton)
            things = things_of(pieces)
            examples.append(Example(path.stem, rgb, labels, outline, skeleton, box, things=things))
    return examples


def known_skeleton(about: dict[str, list[list[float]]]) -> Skeleton:
    """The skeleton that the data set has of a labelled photo."""
    points = {}
    for name, i in LANDMARKS.items():
        x, y, _, score = about["landmarks"][i]
        points[name] = Keypoint(float(x), float(y), float(score))
    return Skeleton(points)


def pseudo_labelled(ccp: Path, people: Path, folder: Path) -> list[Example]:
    """The unlabelled photos, with the labels that the module ``pseudo`` wrote to ``folder``.

    Of a photo in :data:`CORRECTED`, what somebody saw wrong in them is corrected.
    """
    known = json.loads((people / "people.json").read_text())
    corrected = read_corrected()
    examples = []
    for path in sorted(folder.glob("*.png")):
        skeleton = read_skeleton(known[f"{path.stem}.jpg"])
        rgb = np.asarray(Image.open(ccp / "unlabelled" / f"{path.stem}.jpg").convert("RGB"))
        labels = np.array(Image.open(path))
        split_skirts(labels, skeleton)
        pieces = corrected.get(path.stem, [])
        outline_pieces(labels, pieces)
        outline, box = np.asarray(Image.open(people / path.name)), body_box(labels, skeleton)
        things, checked = things_of(pieces), path.stem in corrected
        examples.append(
            Example(path.stem, rgb, labels, outline, skeleton, box, checked=checked, things=things)
        )
    return examples


def read_corrected() -> dict[str, list[tuple[Class, Polygon]]]:
    """Read what somebody saw wrong: see :data:`CORRECTED`."""
    found: dict[str, list[tuple[str, Polygon]]] = json.loads(CORRECTED.read_text())
    return {
        name: [(Class[cls.upper()], polygon) for cls, polygon in pieces]
        for name, pieces in found.items()
    }


def outline_pieces(labels: NDArray[np.uint8], pieces: Sequence[tuple[Class, Polygon]]) -> None:
    """Label what is inside each polygon in ``labels`` (H, W), in place and in their order."""
    for cls, polygon in pieces:
        outline_piece(labels, cls, polygon)


def things_of(pieces: Sequence[tuple[Class, Polygon]]) -> tuple[Polygon, ...]:
    """Return the outlines of what is carried."""
    return tuple(polygon for cls, polygon in pieces if cls == Class.BAG)


def outline_piece(labels: NDArray[np.uint8], cls: Class, polygon: Polygon) -> None:
    """Label what is inside ``polygon`` in ``labels`` (H, W), in place, and nothing along its edge.

    Corners are x, y in per cent of the photo.
    """
    reach = OUTLINE_BORDER * max(labels.shape) / 2
    label_inside(labels, fill_polygon(polygon, labels.shape), cls, reach)


def fill_polygon(polygon: Polygon, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return where a polygon lies on a photo of ``shape`` (H, W): 1 inside, 0 outside."""
    height, width = shape
    corners = np.round(np.array(polygon) * [width / 100, height / 100]).astype(np.int32)
    inside = np.zeros(shape, np.uint8)
    cv2.fillPoly(inside, [corners], 1)
    return inside


def label_inside(
    labels: NDArray[np.uint8], inside: NDArray[np.uint8], cls: Class, reach: float
) -> None:
    """Label what is ``inside`` (H, W), in place, and nothing within ``reach`` pixels of its edge:
    outlines drawn by hand are off by a little.
    """
    radius = max(1, round(reach))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    labels[cv2.dilate(inside, disc) > 0] = IGNORE
    labels[cv2.erode(inside, disc) > 0] = cls


def split_skirts(labels: NDArray[np.uint8], skeleton: Skeleton) -> None:
    """Call a dress a skirt, in place, where a top covers the whole chest.

    Nearly a third of what the data set calls a dress is a skirt, and a parser that learns from it
    can tell neither.
    """
    axis, unit = anatomy.axis(skeleton), skeleton.torso
    if axis is None or unit is None:
        return
    chest = labels[axis.height(*anatomy.grid(labels.shape)) > CHEST * unit]
    top, dress = (chest == Class.TOP).sum(), (chest == Class.DRESS).sum()
    if top > max(MIN_PIXELS, COVERED * (top + dress)):
        labels[labels == Class.DRESS] = Class.SKIRT


def read_skeleton(person: dict[str, dict[str, list[float]]]) -> Skeleton:
    """What :mod:`models.garment_parser.people` wrote of one photo."""
    return Skeleton({name: Keypoint(*point) for name, point in person["points"].items()})


def background(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where ``labels`` (H, W) shows nobody."""
    return np.asarray((labels == Class.BACKGROUND) | (labels == NOBODY))


def foreground(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where ``labels`` (H, W) shows somebody."""
    return np.asarray(~background(labels) & (labels != IGNORE))


def body_box(labels: NDArray[np.uint8], skeleton: Skeleton) -> Box:
    """The box that holds the labelled person and the joints in the photo."""
    height, width = labels.shape
    x, y, w, h = cv2.boundingRect(foreground(labels).astype(np.uint8))
    points = [point for name in LANDMARKS if (point := skeleton.get(name)) is not None]
    corners = np.array([(x, y), (x + w, y + h), *points]).clip(0, [width, height])
    return Box(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def weights(examples: list[Example]) -> torch.Tensor:
    """How often to show each photo: more often what has rare classes."""
    shown = []
    for example in examples:
        counts = np.bincount(example.labels.ravel(), minlength=256)
        shown.append(1 + sum(more for cls, more in RARE.items() if counts[cls] > MIN_PIXELS))
    return torch.tensor(shown, dtype=torch.double)


@dataclass(frozen=True)
class Mix:
    """How often the views of a data set are changed, each 0 to 1.

    ``kept``: the person stays where it is, ``moved``: before another ground as it stands; what is
    left: with its limbs turned too. ``dyed``: its garments in other colours.
    """

    kept: float
    moved: float
    dyed: float = 0.0


View = tuple[torch.Tensor, torch.Tensor, bool, torch.Tensor]


class Samples(torch.utils.data.Dataset[View]):
    """Random views: (13, H, W) float32 input, (H / 2, W / 2) labels, whether a teacher knows no
    better than they, and :func:`outfit_factors` (20,).

    ``hosts`` lend their surroundings to people who are moved; ``things`` are laid over people.
    """

    def __init__(
        self,
        examples: list[Example],
        size: tuple[int, int],
        mix: Mix,
        hosts: list[Example],
        things: list[Thing],
    ) -> None:
        self.examples, self.size, self.mix, self.hosts = examples, size, mix, hosts
        self.things = things

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> View:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(int(torch.randint(2**62, (1,)).item()))
        example = self.examples[index]
        dyed = bool(rng.random() < self.mix.dyed)
        if dyed:
            example = dye_garment(example, rng)
        if rng.random() < 0.2:
            guest = self.examples[int(rng.integers(len(self.examples)))]
            example = paste_person(example, guest, rng)
        draw = rng.random()
        if draw >= self.mix.kept + self.mix.moved:
            example = bend_limbs(example, rng)
        if draw >= self.mix.kept:
            example = replace_background(example, self._ground(example, rng))
        if rng.random() < TABLES:
            example = put_table_before(example, self._ground(example, rng), rng)
        if pasted := bool(self.things and rng.random() < THINGS):
            example = paste_thing(example, self.things[int(rng.integers(len(self.things)))], rng)
        example = crop_frame(example, rng)
        if rng.random() < 0.5:
            example = flip_horizontally(example)
        matrix = crop_matrix(example.box, example.skeleton, self.size)
        matrix = random_affine(matrix, self.size, rng)
        skeleton, outline = jitter_keypoints(example.skeleton, rng), corrupt_outline(example, rng)
        inputs = tensor(example.rgb, outline, skeleton, matrix, self.size)[0]
        image = np.ascontiguousarray(
            np.round((inputs[:3] + 1) * 127.5).transpose(1, 2, 0), np.uint8
        )
        image = degrade_camera(jitter_colours(image, rng), rng)
        inputs[:3] = image.transpose(2, 0, 1) / np.float32(127.5) - 1
        half = (self.size[1] // 2, self.size[0] // 2)
        halved = matrix / 2
        halved[:, 2] -= 0.25  # the middle of two pixels
        labels = cv2.warpAffine(
            example.labels, halved, half, flags=cv2.INTER_NEAREST, borderValue=(IGNORE,)
        )
        beyond_teacher = dyed or pasted or example.checked
        factors = torch.from_numpy(outfit_factors(example.outfit, outlined=example.outlined))
        return (
            torch.from_numpy(inputs),
            torch.from_numpy(labels.astype(np.int64)),
            beyond_teacher,
            factors,
        )

    def _ground(self, example: Example, rng: np.random.Generator) -> NDArray[np.floating]:
        """Return a plain wall, or what is beside somebody else."""
        shape = example.labels.shape
        host = self.hosts[int(rng.integers(len(self.hosts)))]
        ground = studio_wall(shape, rng) if rng.random() < 0.4 else stretch_background(host, shape)
        return studio_wall(shape, rng) if ground is None else ground


def dye_garment(example: Example, rng: np.random.Generator) -> Example:
    """Give one garment the colours of another, or make all dark or light.

    What tells the garments of such an outfit apart is its folds, seams and hems.
    """
    counts = np.bincount(example.labels.ravel(), minlength=256)
    worn = [cls for cls in DYED if counts[cls] > MIN_PIXELS]
    if not worn:
        return example
    lab = cv2.cvtColor(example.rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    masks = {cls: example.labels == cls for cls in worn}
    colour = {cls: (lab[mask].mean(0), lab[mask].std(0) + 1) for cls, mask in masks.items()}
    if rng.random() < 0.5 and len(worn) > 1:
        one, other = rng.choice(worn, 2, replace=False)
        goals = {Class(one): colour[other]}
    else:
        light = rng.uniform(12, 60) if rng.random() < 0.6 else rng.uniform(60, 240)
        tint = rng.normal(0, 8, 2)
        goals = {}
        for cls in worn:
            own = light + rng.normal(0, 6)
            mean = np.array([own, *(128 + tint + rng.normal(0, 2, 2))])
            goals[cls] = mean, np.array([rng.uniform(4, 4 + 0.12 * light), 2.0, 2.0])
    for cls, (mean, spread) in goals.items():
        before, deviation = colour[cls]
        factor = np.minimum(spread / deviation, 1.5)
        dyed = (lab - before) * factor + mean
        alpha = cv2.GaussianBlur(masks[cls].astype(np.float32), (0, 0), 0.7)[..., None]
        lab = alpha * dyed.astype(np.float32) + (1 - alpha) * lab
    rgb = cv2.cvtColor(lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    return replace(example, rgb=np.asarray(rgb))


def paste_person(example: Example, guest: Example, rng: np.random.Generator) -> Example:
    """Somebody else beside, behind or partly before the person: background to the parser."""
    unit, other = example.skeleton.torso, guest.skeleton.torso
    ours, theirs = example.skeleton.neck_base, guest.skeleton.neck_base
    if unit is None or other is None or ours is None or theirs is None:
        return example
    scale = unit / other * rng.uniform(0.7, 1.15)
    side = rng.choice([-1.0, 1.0]) * rng.uniform(0.55, 1.8)
    flip = rng.choice([-1.0, 1.0])
    to = np.array([ours[0] + side * unit, ours[1] + rng.normal(0, 0.25) * unit])
    turn = np.diag([flip * scale, scale])
    matrix = np.column_stack([turn, to - turn @ np.array(theirs)])
    size = (example.labels.shape[1], example.labels.shape[0])
    body = foreground(guest.labels).astype(np.uint8)
    there = cv2.warpAffine(body, matrix, size, flags=cv2.INTER_NEAREST) > 0
    if rng.random() < 0.75:
        there &= background(example.labels)
    rgb = np.where(there[..., None], cv2.warpAffine(guest.rgb, matrix, size), example.rgb)
    labels = np.where(there, np.uint8(Class.BACKGROUND), example.labels)
    outline = np.where(there, np.uint8(0), example.outline)
    return replace(example, rgb=rgb, labels=labels, outline=outline)


def put_table_before(
    example: Example, ground: NDArray[np.floating], rng: np.random.Generator
) -> Example:
    """Hide the person from somewhere below the chest, or a piece of the lap, behind ``ground``.

    A table or a counter is as wide as the photo, a cushion or a box is not. ``ground`` (H, W, 3) is
    0 to 255. Half of the time the outline keeps what is hidden, as the pose model's often does.
    """
    unit, neck = example.skeleton.torso, example.skeleton.neck_base
    if unit is None or neck is None:
        return example
    height, width = example.labels.shape
    there = np.zeros((height, width), np.uint8)
    x, y = neck[0] + rng.normal(0, 0.3) * unit, neck[1] + rng.uniform(0.5, 1.7) * unit
    tilt = rng.normal(0, 0.06)
    if table := rng.random() < 0.6:
        left, right = y - tilt * x, y + tilt * (width - x)
        corners = np.array([(0, left), (width, right), (width, height), (0, height)])
    else:
        across, down = rng.uniform(0.5, 1.6, 2) * unit
        corners = np.asarray(cv2.boxPoints(((x, y), (across, down), float(np.degrees(tilt) * 4))))
    cv2.fillPoly(there, [corners.astype(np.int32)], 1)
    alpha = cv2.GaussianBlur(there.astype(np.float32), (0, 0), 1.0)[..., None]
    rgb = (alpha * ground + (1 - alpha) * example.rgb).clip(0, 255).astype(np.uint8)
    hidden = there > 0
    labels = np.where(hidden, np.uint8(Class.BACKGROUND if table else NOBODY), example.labels)
    outline = _perhaps_without(example.outline, hidden, rng)
    return replace(example, rgb=rgb, labels=labels, outline=outline)


def cut_out_things(example: Example) -> list[Thing]:
    """Return the carried things of a photo that are neither specks nor hide their carrier."""
    unit = example.skeleton.torso
    if unit is None:
        return []
    things = []
    for polygon in example.things:
        there = fill_polygon(polygon, example.labels.shape)
        x, y, w, h = cv2.boundingRect(there)
        spot = slice(y, y + h), slice(x, x + w)
        if LEAST_THING < there.sum() / unit**2 < GREATEST_THING:
            things.append(Thing(example.rgb[spot].copy(), there[spot].copy(), unit))
    return things


def paste_thing(example: Example, thing: Thing, rng: np.random.Generator) -> Example:
    """Put a thing before the person or at the side, somewhere from the neck to the knees.

    Ghiasi et al., Simple Copy-Paste, 2021. Half of the time the outline keeps what is hidden.
    """
    unit, neck = example.skeleton.torso, example.skeleton.neck_base
    if unit is None or neck is None:
        return example
    scale, angle = unit / thing.unit * rng.uniform(0.7, 1.4), rng.normal(0, 0.35)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= rng.choice([-1.0, 1.0])
    to = neck + unit * np.array([rng.normal(0, 0.5), rng.uniform(0.1, 2.2)])
    middle = np.array(thing.there.shape[::-1]) / 2
    matrix = np.column_stack([turn, to - turn @ middle])
    size = (example.labels.shape[1], example.labels.shape[0])
    there = np.asarray(cv2.warpAffine(thing.there, matrix, size, flags=cv2.INTER_NEAREST), np.uint8)
    if not there.any():
        return example
    alpha = cv2.GaussianBlur(there.astype(np.float32), (0, 0), 0.8)[..., None]
    pasted = cv2.warpAffine(thing.rgb, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    rgb = (alpha * pasted + (1 - alpha) * example.rgb).clip(0, 255).astype(np.uint8)
    labels = example.labels.copy()
    label_inside(labels, there, Class.BAG, THING_BORDER * unit)
    outline = _perhaps_without(example.outline, there > 0, rng)
    return replace(example, rgb=rgb, labels=labels, outline=outline)


def _perhaps_without(
    outline: NDArray[np.uint8], hidden: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the outline (H, W), half of the time without what is hidden: the pose model's often
    keeps it.
    """
    return outline if rng.random() >= 0.5 else np.where(hidden, np.uint8(0), outline)


def replace_background(example: Example, ground: NDArray[np.floating]) -> Example:
    """The person before ``ground`` (H, W, 3), 0 to 255."""
    nobody = background(example.labels)
    alpha = cv2.GaussianBlur(nobody.astype(np.float32), (0, 0), 1.0)[..., None]
    rgb = alpha * ground + (1 - alpha) * example.rgb
    labels = np.where(nobody, np.uint8(Class.BACKGROUND), example.labels)
    return replace(example, rgb=rgb.clip(0, 255).astype(np.uint8), labels=labels)


def studio_wall(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.floating]:
    """A studio's wall: one colour, shaded from one corner to another. (H, W, 3), float32."""
    height, width = shape
    base = np.full(3, rng.uniform(20, 255)) if rng.random() < 0.7 else rng.uniform(0, 255, 3)
    corners = rng.normal(0, 14, (2, 2, 1)) + base
    return np.asarray(cv2.resize(corners.astype(np.float32), (width, height)))


def stretch_background(host: Example, shape: tuple[int, ...]) -> NDArray[np.floating] | None:
    """What is left and right of the host, joined and stretched: (H, W, 3); None for too little."""
    free = np.asarray(background(host.labels).all(0) & (host.outline < FAINT_OUTLINE).all(0))
    if free.sum() < MIN_FREE_COLUMNS * len(free):
        return None
    return np.asarray(cv2.resize(host.rgb[:, free], shape[::-1]), np.float32)


def bend_limbs(example: Example, rng: np.random.Generator) -> Example:
    """The person with limbs turned at their joints, thighs now and then foreshortened.

    The picture follows the bones as a rigid moving least squares deformation (Schaefer, McPhail and
    Warren, 2006); the labels follow the picture.
    """
    unit, seen = example.skeleton.torso, example.skeleton.keypoints
    if unit is None or not example.skeleton.has("left_hip", "right_hip"):
        return example
    before = {name: complex(k.x, k.y) for name, k in seen.items() if k.score > 0.3}
    after = _bent(before, rng)
    shape = example.labels.shape
    from_x, from_y, torn = _warp_maps(shape, *_along_bones(before, after), 0.02 * unit)
    maps = from_x, from_y
    rgb = cv2.remap(example.rgb, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    outline = np.asarray(cv2.remap(example.outline, *maps, cv2.INTER_LINEAR), np.uint8)
    labels = np.asarray(
        cv2.remap(
            example.labels,
            *maps,
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(IGNORE,),
        ),
        np.uint8,
    )
    # What a limb left behind where it was.
    labels[torn > 0.12 * unit] = Class.BACKGROUND
    outline[torn > 0.12 * unit] = 0
    keypoints = {
        name: Keypoint(after[name].real, after[name].imag, k.score)
        if name in after
        else Keypoint(k.x, k.y, 0.0)
        for name, k in seen.items()
    }
    skeleton = Skeleton(keypoints)
    box = body_box(labels, skeleton)
    return replace(
        example,
        rgb=np.asarray(rgb, np.uint8),
        labels=labels,
        outline=outline,
        skeleton=skeleton,
        box=box,
    )


def _bent(before: dict[str, complex], rng: np.random.Generator) -> dict[str, complex]:
    """Bend the limbs at random; joints are x + yi in pixels, and what hangs on a joint follows."""
    after = dict(before)
    bow = rng.normal(0, 0.35) if rng.random() < 0.7 else rng.uniform(-1.6, 1.6)
    for side in SIDES:
        for chain, spreads in LIMBS:
            for i, (joint, spread) in enumerate(zip(chain, spreads, strict=False)):
                follow = [f"{side}_{name}" for name in chain[i + 1 :]]
                pivot, end = f"{side}_{joint}", follow[0]
                if pivot not in before or end not in before:
                    break
                angle = rng.normal(0, spread) + (bow if joint == "hip" else 0)
                if joint == "shoulder" and rng.random() < 0.3:
                    angle = rng.uniform(-np.pi, np.pi)
                short = rng.uniform(0.4, 1) if joint == "hip" and rng.random() < 0.3 else 1.0
                old, bone = after[pivot], after[end] - after[pivot]
                shift = bone * (short - 1) * np.exp(1j * angle)
                for name in follow:
                    if name in after:
                        turned = old + (after[name] - old) * np.exp(1j * angle)
                        after[name] = complex(turned + shift)
    return after


def _along_bones(
    before: dict[str, complex], after: dict[str, complex]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return five points along each bone, where it was and where it is."""
    ends = [
        (f"{side}_{a}", f"{side}_{b}")
        for side in SIDES
        for chain, _ in LIMBS
        for a, b in pairwise(chain[:4])
    ]
    bones = [(a, b) for a, b in (*TRUNK, *ends) if a in before and b in before]
    t = np.linspace(0, 1, 5)[:, None]
    source, target = (
        (
            t * np.array([where[b] for _, b in bones])
            + (1 - t) * np.array([where[a] for a, _ in bones])
        ).ravel()
        for where in (before, after)
    )
    return source, target


def _warp_maps(
    shape: tuple[int, ...],
    source: NDArray[np.complex128],
    target: NDArray[np.complex128],
    near: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return for each pixel of ``shape`` (H, W) where it comes from, x and y, and how far a limb
    has left it, in pixels.
    """
    height, width = shape
    step = 16
    y, x = np.mgrid[0 : height + step : step, 0 : width + step : step]
    places = x + 1j * y
    origins = rigid_deformation(target, source, places, near)
    away = np.abs(places[..., None] - target).min(-1) - np.abs(origins[..., None] - source).min(-1)
    from_x, from_y, torn = (
        np.asarray(
            cv2.warpAffine(
                plane.astype(np.float32),
                np.array([[step, 0, 0], [0, step, 0]], np.float64),
                (width, height),
                flags=cv2.INTER_LINEAR,
            ),
            np.float32,
        )
        for plane in (origins.real, origins.imag, away)
    )
    return from_x, from_y, torn


def rigid_deformation(
    here: NDArray[np.complex128],
    there: NDArray[np.complex128],
    points: NDArray[np.complex128],
    near: float,
) -> NDArray[np.complex128]:
    """Where ``points`` go when the N control points ``here`` go ``there``; x + yi, in pixels.

    ``near`` is a distance under which control points weigh no more.
    """
    flat = points.reshape(-1, 1)
    weight = 1 / (np.abs(here - flat) ** 2 + near**2) ** 2
    weight /= weight.sum(1, keepdims=True)
    middle, goal = weight @ here, weight @ there
    turn = (weight * (here - middle[:, None]).conj() * (there - goal[:, None])).sum(1)
    moved = goal + (flat[:, 0] - middle) * turn / np.maximum(np.abs(turn), 1e-9)
    return np.asarray(moved.reshape(points.shape))


def crop_frame(example: Example, rng: np.random.Generator) -> Example:
    """A photo's frame: the whole, half a body, or a close-up, always with both shoulders.

    Some frames cut the head off, as catalogues do; the pose model then invents one.
    """
    draw = rng.random()
    unit, neck = example.skeleton.torso, example.skeleton.neck_base
    if draw < 0.55 or unit is None or neck is None:
        return example
    box, (height, width) = example.box, example.labels.shape
    if draw < 0.88:
        bottom, spread = neck[1] + rng.uniform(0.8, 2.2) * unit, rng.uniform(0.7, 1.6)
    else:
        bottom, spread = neck[1] + rng.uniform(0.25, 0.9) * unit, rng.uniform(0.45, 1.0)
    top = max(0.0, box.y0 - rng.uniform(-0.1, 0.4) * unit)
    headless = rng.random() < 0.3
    if headless:
        top = max(0.0, neck[1] - rng.uniform(0.05, 0.45) * unit)
        if rng.random() < 0.4:
            bottom = box.y1
    x0 = int(max(0, min(neck[0] - spread * unit, box.x1 - 8)))
    x1 = int(min(width, neck[0] + spread * unit))
    y0, y1 = int(top), int(min(height, bottom))
    if y1 - y0 < 48 or x1 - x0 < 48:
        return example
    labels = np.ascontiguousarray(example.labels[y0:y1, x0:x1])
    rgb = np.ascontiguousarray(example.rgb[y0:y1, x0:x1])
    outline = np.ascontiguousarray(example.outline[y0:y1, x0:x1])
    keypoints = {}
    for name, k in example.skeleton.keypoints.items():
        inside = x0 <= k.x < x1 and y0 <= k.y < y1
        kept = inside or name.endswith("shoulder") or rng.random() < 0.3
        keypoints[name] = Keypoint(k.x - x0, k.y - y0, k.score if kept else 0.0)
    if headless and rng.random() < 0.5:
        sunk = rng.uniform(0.2, 0.6) * unit
        for name in HEAD & keypoints.keys():
            k = keypoints[name]
            keypoints[name] = Keypoint(k.x, k.y + sunk, example.skeleton.keypoints[name].score)
    skeleton = Skeleton(keypoints)
    box = body_box(labels, skeleton)
    return replace(example, rgb=rgb, labels=labels, outline=outline, skeleton=skeleton, box=box)


def flip_horizontally(example: Example) -> Example:
    """Left for right; the planes do not tell sides, so the names may stay."""
    width = example.labels.shape[1]
    keypoints = {
        name: Keypoint(width - k.x, k.y, k.score) for name, k in example.skeleton.keypoints.items()
    }
    box = Box(width - example.box.x1, example.box.y0, width - example.box.x0, example.box.y1)
    return replace(
        example,
        rgb=np.ascontiguousarray(example.rgb[:, ::-1]),
        labels=np.ascontiguousarray(example.labels[:, ::-1]),
        outline=np.ascontiguousarray(example.outline[:, ::-1]),
        skeleton=Skeleton(keypoints),
        box=box,
    )


def random_affine(
    matrix: NDArray[np.float64], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The view turned, scaled and moved a little."""
    height, width = size
    angle = rng.normal(0, 6) if rng.random() < 0.8 else rng.uniform(-50, 50)
    scale = float(np.exp(rng.normal(0, 0.12)))
    turn = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale), np.float64)
    turn[:, 2] += rng.normal(0, 0.03, 2) * height
    result: NDArray[np.float64] = turn[:, :2] @ matrix
    result[:, 2] += turn[:, 2]
    return result


def jitter_keypoints(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    """Joints as a pose model might have them: a little off, some lost, now and then a limb."""
    unit = skeleton.torso or 0.0
    spread = 0.02 if rng.random() < 0.8 else 0.08
    lost = 0.03 if rng.random() < 0.8 else 0.2
    keypoints = {}
    for name, k in skeleton.keypoints.items():
        dx, dy = rng.normal(0, spread * unit, 2)
        gone = rng.random() < lost and not name.endswith("shoulder")
        keypoints[name] = Keypoint(k.x + dx, k.y + dy, 0.0 if gone else k.score)
    return Skeleton(keypoints)


def corrupt_outline(example: Example, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The outline as a pose model might see it: now and then moved, or a piece lost or added."""
    draw, unit = rng.random(), example.skeleton.torso
    if draw < 0.5 or unit is None:
        return example.outline
    height, width = example.labels.shape
    dx, dy = rng.normal(0, 0.02 * unit, 2)
    moved = np.array([[1, 0, dx], [0, 1, dy]])
    outline = np.asarray(cv2.warpAffine(example.outline, moved, (width, height)), np.uint8)
    if draw > 0.7:
        box = example.box
        x, y = int(rng.uniform(box.x0, box.x1)), int(rng.uniform(box.y0, box.y1))
        radius = int(rng.uniform(0.1, 0.4) * unit)
        cv2.circle(outline, (x, y), radius, 255 if draw > 0.9 else 0, -1)
        outline = np.asarray(cv2.GaussianBlur(outline, (0, 0), 0.04 * unit), np.uint8)
    return outline


def jitter_colours(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Other light: gain and colour cast, gamma, saturation."""
    ramp = np.linspace(0, 1, 256)
    gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.07, 3))
    gamma = float(np.exp(rng.normal(0, 0.2)))
    curve = (255 * ramp[:, None] ** gamma * gain + rng.normal(0, 8)).clip(0, 255)
    result = cv2.LUT(rgb, curve.astype(np.uint8)[:, None, :].transpose(1, 0, 2))
    saturation = 0.0 if rng.random() < 0.03 else rng.uniform(0.6, 1.3)
    grey = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None]
    grey = np.repeat(grey, 3, axis=2)
    return np.asarray(cv2.addWeighted(result, saturation, grey, 1 - saturation, 0))


def degrade_camera(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A worse camera, one time in three: low resolution, blur, noise, JPEG. (H, W, 3)."""
    if rng.random() > 0.35:
        return image
    height, width = image.shape[:2]
    match rng.integers(4):
        case 0:
            factor = rng.uniform(0.3, 0.8)
            small = (round(width * factor), round(height * factor))
            coarse = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
            return np.asarray(cv2.resize(coarse, (width, height)))
        case 1:
            return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)))
        case 2:
            noise = rng.normal(0, rng.uniform(2, 14), image.shape)
            return np.asarray((image + noise).clip(0, 255), np.uint8)
        case _:
            quality = int(rng.integers(15, 60))
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def view(
    example: Example, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The unshaken input of a photo (1, 13, H, W), and its matrix."""
    matrix = crop_matrix(example.box, example.skeleton, size)
    return tensor(example.rgb, example.outline, example.skeleton, matrix, size), matrix

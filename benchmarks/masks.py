"""The score card of the masks on a labelled dataset: ``python -m benchmarks.masks DATASET``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import cv2
from rich.console import Console
from rich.progress import track

from benchmarks.making import Refused, UnreadableMask, make_masks, mask_file, positive, read_mask
from benchmarks.scorecard import (
    FIGURES,
    MASKS,
    REPAINT,
    BoolMask,
    Dataset,
    Figure,
    Line,
    Scores,
    Worst,
    repainted,
    score,
    summarise,
    worst_photos,
)
from tryon_masks.domain.errors import StartError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.images import Limits
from tryon_masks.service import MaskOptions, RefusedMask
from tryon_masks.sheet.answers import read_pictures
from tryon_masks.sheet.card import Card, CardStatus, Made
from tryon_masks.sheet.report import write_report
from tryon_masks.telemetry import request_log

MAX_COVERAGE = 0.6
"""Fraction of the frame from which a mask is a failure."""
WORST = 10


@dataclass
class Failures:
    """Masks by what is wrong with them, as ``PHOTO.MASK``, and photos that could not be scored."""

    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    over_60_percent: list[str] = field(default_factory=list)
    other_size: list[str] = field(default_factory=list)
    not_annotated: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What :func:`evaluate` found. ``refused``: why masks were not made, where that is known."""

    scores: dict[str, Scores]
    failures: Failures
    refused: dict[str, Refused]

    @property
    def worst(self) -> list[Worst]:
        """The worst photos, worst first."""
        return worst_photos(self.scores, WORST)


def evaluate(
    dataset: Dataset, masks: Path, endings: str | None, refused: Mapping[str, Refused]
) -> Report:
    """Score the files ``PHOTO.upper.png`` and ``PHOTO.lower.png`` in the folder ``masks``."""
    failures = Failures(not_annotated=dataset.unannotated(endings))
    scores: dict[str, Scores] = {}
    photos = dataset.photos(endings)
    for photo in track(photos, "scoring", console=Console(stderr=True), transient=True):
        truth = dataset.truth(photo)
        shape = (truth.labels.shape[0], truth.labels.shape[1])
        found = {mask: _mask(masks, photo, mask, shape, failures) for mask in MASKS}
        scores[photo] = score(found, truth)
    return Report(scores, failures, dict(refused))


def _mask(
    folder: Path, photo: str, mask: str, shape: tuple[int, int], failures: Failures
) -> BoolMask | None:
    name = f"{photo}.{mask}"
    try:
        grey = read_mask(mask_file(folder, photo, mask))
    except FileNotFoundError:
        failures.missing.append(name)
        return None
    except UnreadableMask:
        failures.unreadable.append(name)
        return None
    if grey.shape != shape:
        failures.other_size.append(name)
    coverage = float((grey >= REPAINT).mean())
    if coverage == 0:
        failures.empty.append(name)
        return None
    if coverage > MAX_COVERAGE:
        failures.over_60_percent.append(name)
    return repainted(grey, shape)


def as_text(report: Report) -> str:
    """The report as Markdown."""
    table = summarise(list(report.scores.values()))
    parts = [f"{len(report.scores)} photos"]
    for mask, figures in FIGURES.items():
        parts.append(_table(mask, figures, table[mask]))
    parts.append(_failures(report))
    parts.append(_worst(report.worst))
    return "\n\n".join(parts)


def _table(mask: str, figures: Sequence[Figure], lines: Mapping[str, Line | None]) -> str:
    rows = [
        f"| {mask} | mean | median | worst 5 % | n | wanted mean |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for figure in figures:
        line, wanted = lines[figure.name], ""
        if figure.bound is not None:
            wanted = f"{'>=' if figure.is_recall else '<='} {figure.bound:g}"
        if line is None:
            rows.append(f"| {figure.name} | | | | 0 | {wanted} |")
            continue
        if figure.excess(line.mean) > 0:
            wanted += " **missed**"
        rows.append(
            f"| {figure.name} | {line.mean:.4f} | {line.median:.4f} | {line.worst:.4f} "
            f"| {line.n} | {wanted} |"
        )
    return "\n".join(rows)


def _failures(report: Report) -> str:
    expected = len(report.scores) * len(MASKS)
    rows = [f"| failures, of {expected} masks | count | which |", "|---|--:|---|"]
    for name, which in vars(report.failures).items():
        listed = [f"{one}{_code(one, report.refused)}" for one in which]
        rows.append(f"| {name.replace('_', ' ')} | {len(which)} | {' '.join(listed)} |")
    return "\n".join(rows)


def _code(name: str, refused: Mapping[str, Refused]) -> str:
    photo, _, mask = name.partition(".")
    code = refused.get(photo, {}).get(mask)
    return f" ({code})" if code else ""


def _worst(worst: Sequence[Worst]) -> str:
    rows = ["| worst photos | figure | value | wanted mean |", "|---|---|--:|--:|"]
    for one in worst:
        what = f"{one.mask}.{one.figure.name}"
        rows.append(f"| {one.photo} | {what} | {one.value:.4f} | {one.figure.bound:g} |")
    return "\n".join(rows)


def as_json(report: Report) -> dict[str, Any]:
    """The same, and every photo's figures, as JSON values."""
    table = summarise(list(report.scores.values()))
    return {
        "photos": len(report.scores),
        "table": {
            mask: {name: line and _rounded(vars(line)) for name, line in lines.items()}
            for mask, lines in table.items()
        },
        "failures": vars(report.failures),
        "refused": report.refused,
        "worst": [
            {"photo": one.photo, "mask": one.mask, "figure": one.figure.name, "value": one.value}
            for one in report.worst
        ],
        "per_photo": {
            photo: {mask: _rounded(figures) for mask, figures in one.items()}
            for photo, one in report.scores.items()
        },
    }


def _rounded(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 4) for name, value in values.items()}


def worst_cards(report: Report, photos: Mapping[str, Path], masks: Path) -> list[Card]:
    """Return the worst photos' cards for a sheet, worst first, each with its figure."""
    return [
        _card(place, one, photos[one.photo], masks, report.refused.get(one.photo, {}))
        for place, one in enumerate(report.worst)
    ]


def _card(place: int, worst: Worst, photo: Path, masks: Path, codes: Refused) -> Card:
    files = {mask: mask_file(masks, worst.photo, mask) for mask in MASKS}
    made: dict[str, Made] = {}
    refused: list[RefusedMask] = []
    for mask, file in files.items():
        try:
            made[mask] = Made(float((read_mask(file) >= REPAINT).mean()))
        except FileNotFoundError:
            refused.append(RefusedMask(mask, codes.get(mask, "MISSING"), "There is no mask."))
        except UnreadableMask:
            refused.append(RefusedMask(mask, "UNREADABLE", "The mask's file cannot be read."))
    status: CardStatus = "refused" if not made else "partial" if refused else "success"
    with request_log(uuid4().hex, ANONYMOUS):
        pictures, notes = read_pictures(photo, {mask: files[mask] for mask in made}, Limits())
    figure = f"{worst.mask}.{worst.figure.name} {worst.value:.3f}"
    note = " ".join([figure, *notes])
    return Card(worst.photo, status, place, made, refused, None, pictures, note)


def _html(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".html":
        raise ValueError
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; exit code 0 when every photo was scored, whatever its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.masks", description=__doc__)
    parser.add_argument("dataset", type=Path, help="a folder as benchmarks/README.md says")
    parser.add_argument("--ending", metavar="DIGITS", help="only ids that end in one of these")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--masks", type=Path, metavar="DIR", help="score these instead of making")
    where.add_argument("--out", type=Path, metavar="DIR", help="keep the masks that are made")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes")
    parser.add_argument(
        "--sheet", type=_html, metavar="FILE", help="show the worst photos on an HTML page"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    try:
        dataset = Dataset(args.dataset)
    except FileNotFoundError as error:
        parser.error(f"not a dataset: {error.filename} is not there")
    photos = dataset.photos(args.ending)
    if not photos:
        parser.error("the dataset has no such photos")
    if args.masks is not None and not args.masks.is_dir():
        parser.error(f"no such folder: {args.masks}")
    with TemporaryDirectory() as scratch:
        folder = args.masks or args.out or Path(scratch)
        refused: dict[str, Refused] = {}
        if args.masks is None:
            try:
                refused = make_masks(photos, folder, MaskOptions(), args.jobs)
            except StartError as error:
                parser.error(str(error))
        report = evaluate(dataset, folder, args.ending, refused)
        print(json.dumps(as_json(report)) if args.json else as_text(report))
        if args.sheet is not None:
            args.sheet.parent.mkdir(parents=True, exist_ok=True)
            write_report(args.sheet, worst_cards(report, photos, folder), args.sheet.stem)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Let the trained parser work in eight bits.

    python -m models.garment_parser.quantise CCP PEOPLE garment_parser.onnx OUT.onnx

Static quantisation, calibrated on training photos. What reads the photo itself stays as it is: the
eight-bit steps of its first, widest maps cost more than all the others together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.convert import INT8_OPERATORS, quantise
from models.garment_parser.data import labelled, view
from tryon_masks.vision.compact.input import HEIGHT, WIDTH

KEPT = ("/stem/", "/Clip", "/blocks.0/", "/blocks.1/")
"""How the names of the nodes begin that stay in 32 bits."""
OPERATORS = (*INT8_OPERATORS, "Clip", "AveragePool", "GlobalAveragePool")
PHOTOS = 64
PERCENTILE = 99.99
"""Percentage of a map's values that its range holds: more would make all of them coarser."""


def main() -> None:
    """Quantise from the command line."""
    parser = argparse.ArgumentParser(description="Quantise the garment parser.")
    for name in ("ccp", "people", "parser", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--photos", type=int, default=PHOTOS)
    args = parser.parse_args()
    examples = labelled(args.ccp, args.people, validation=False)
    chosen = examples[:: max(1, len(examples) // args.photos)][: args.photos]
    feeds = [{"input": view(example, (HEIGHT, WIDTH))[0]} for example in chosen]
    unchecked = args.out.with_suffix(".unchecked.onnx")
    quantise(args.parser, unchecked, feeds, operators=OPERATORS, kept=KEPT, percentile=PERCENTILE)
    unchecked.replace(args.out)
    print(f"{args.out.name}: {args.out.stat().st_size} bytes, calibrated on {len(feeds)} photos")


if __name__ == "__main__":
    main()

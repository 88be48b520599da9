"""How often each rule of the part map is right.

    python -m models.garment_parser.rules PARSER.onnx CCP PEOPLE PARTS PARTS_PEOPLE

Prints Markdown: for every rule, the pixels that it gives another class on the validation photos of
both data sets, and the share of them whose old and whose new class the labels allow.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.garment_parser.data import IGNORE, Example, labelled
from models.garment_parser.partial import allowed, body_parts
from tryon_masks.vision.compact.garment_parser import GarmentParser
from tryon_masks.vision.compact.part_map import CLASS_OF, RULES, Evidence, decide, gather
from tryon_masks.vision.runtime import Floats

CLASSES_OF = np.zeros(256, np.uint8)
"""The parser's class of a part, by its number."""
CLASSES_OF[list(CLASS_OF)] = list(CLASS_OF.values())


def evidence_of(parser: GarmentParser, example: Example) -> tuple[Evidence, Floats, Floats]:
    """Return the evidence of a labelled person, its outline and that of others, all nobody's."""
    answer = parser.parse(example.rgb, example.outline, example.box, example.skeleton)
    outline = np.asarray(example.outline.astype(np.float32) / 255, np.float32)
    return gather(answer, example.skeleton), outline, np.zeros_like(outline)


def count(parser: GarmentParser, examples: list[Example]) -> NDArray[np.int64]:
    """Count each rule's moved pixels, those right before and those right after: (rules, 3)."""
    table, counts = allowed() > 0, np.zeros((len(RULES), 3), np.int64)
    for example in examples:
        evidence, outline, others = evidence_of(parser, example)
        parts, _ = decide(evidence, outline, others)
        for row, rule in zip(counts, RULES, strict=True):
            before = CLASSES_OF[parts]
            rule(parts, evidence)
            after = CLASSES_OF[parts]
            moved = (before != after) & (example.labels != IGNORE)
            labels = example.labels[moved]
            row += (
                len(labels),
                table[labels, before[moved]].sum(),
                table[labels, after[moved]].sum(),
            )
    return counts


def main() -> None:
    """Print the table."""
    path, ccp, people, parts, parts_people = (Path(argument) for argument in sys.argv[1:])
    parser = GarmentParser(path, 2)
    sets = {
        "CCP": labelled(ccp, people, validation=True),
        "PASCAL": body_parts(parts, parts_people, validation=True),
    }
    columns = [count(parser, examples) for examples in sets.values()]
    heads = [f"{name}: pixels | right before | right after" for name in sets]
    print(f"| rule | {' | '.join(heads)} |\n|---|{'--:|' * 3 * len(sets)}")
    for i, rule in enumerate(RULES):
        cells = []
        for counts in columns:
            moved, before, after = counts[i].tolist()
            shares = (before / moved, after / moved) if moved else (0.0, 0.0)
            cells.append(f"{moved} | {shares[0]:.0%} | {shares[1]:.0%}")
        print(f"| `{rule.__name__}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

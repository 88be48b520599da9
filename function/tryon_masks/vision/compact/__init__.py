"""The ``compact`` model set: BlazePose and a garment parser of this project."""

from __future__ import annotations

from tryon_masks.model_sets import ModelSetInfo

# The parser sees 96 rows of cells: a finer grid costs time and shows nothing more.
MODEL_SETS = (ModelSetInfo("compact", working_side=768, default=True),)

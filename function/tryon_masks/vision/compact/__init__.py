"""The ``compact`` model set: BlazePose and a garment parser of this project."""

from __future__ import annotations

from tryon_masks.model_sets import ModelSetInfo

# The parser tells 240 rows apart: a finer grid costs time and shows little more.
MODEL_SETS = (ModelSetInfo("compact", working_side=768, default=True),)

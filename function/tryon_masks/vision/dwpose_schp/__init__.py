"""The ``dwpose-schp`` model set: YOLOX, DWPose and SCHP; and the same files in eight bits."""

from __future__ import annotations

from tryon_masks.model_sets import ModelOption, ModelSetInfo

OPTIONS = {
    "SCHP_LIP": ModelOption(("0", "1"), default="1"),
    "SCHP_VIEW": ModelOption(("whole", "person"), default="whole"),
    "SCHP_FILL": ModelOption(("0", "1"), default="0"),
}
"""Whether LIP's parser runs beside ATR's, what both are shown of the photo, and whether holes in
tops are filled."""
MODEL_SETS = tuple(
    ModelSetInfo(name, working_side=1024, options=OPTIONS)
    for name in ("dwpose-schp", "dwpose-schp-int8")
)

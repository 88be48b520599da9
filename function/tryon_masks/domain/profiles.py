"""Profiles: the shape a try-on model was trained on. Lengths are in units of T."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Profile(StrEnum):
    """``body`` parts, tubes and a margin; ``tight`` parts; ``hull`` convex; ``box`` a rectangle."""

    BODY = "body"
    TIGHT = "tight"
    HULL = "hull"
    BOX = "box"

    @property
    def margin(self) -> float:
        """Return how far the mask grows beyond the parts, in units of T."""
        return _MARGINS[self]


_MARGINS = {Profile.BODY: 0.06, Profile.TIGHT: 0.005, Profile.HULL: 0.04, Profile.BOX: 0.08}


@dataclass(frozen=True)
class Expand:
    """A margin on top of the profile's own, a side each, in units of T (0 to 1)."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

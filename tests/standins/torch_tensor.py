"""As much of torch as a ComfyUI node uses, on numpy: for environments without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Tensor:
    """A tensor on the CPU."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._values = values
        self.shape = values.shape

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> NDArray[np.float32]:
        return self._values


def from_numpy(values: NDArray[np.float32]) -> Tensor:
    return Tensor(values)

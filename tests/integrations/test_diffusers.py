"""Our mask in an inpainting pipeline of diffusers, tiny and with random weights."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import fakes
from tests.figures import make_mask

from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.person import Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.outputs.parsed_photo import ParsedPhoto
from tryon_masks.outputs.targets import TargetName, target_files

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

WIDTH, HEIGHT = 96, 128


def pictures() -> tuple[Image.Image, Image.Image]:
    """The painted figure's picture and mask, as Leffa would be given them."""
    photo = np.array(Image.open(io.BytesIO(fakes.photo(format="PNG"))).convert("RGB"))
    ones = np.ones((fakes.HEIGHT, fakes.WIDTH), np.float32)
    person = Person(fakes.BOX, 0.9, fakes.skeleton(), fakes.part_map(), ones)
    mask = make_mask(person, MaskKind.UPPER, Profile.BODY, Expand())
    files = target_files(ParsedPhoto(photo, person), mask, TargetName.LEFFA, "anna").files
    image, white = (Image.open(io.BytesIO(files[name].data)) for name in ("image", "mask"))
    return image, white


def pipeline() -> Any:
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInpaintPipeline,
        UNet2DConditionModel,
    )

    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=9,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
    )
    made = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def test_the_pipeline_reads_white_as_repainted() -> None:
    image, mask = pictures()

    read = pipeline().mask_processor.preprocess(mask, height=1024, width=768).numpy()

    assert read.shape == (1, 1, 1024, 768)
    assert np.array_equal(read[0, 0] == 1, np.array(mask) == 255)
    assert np.array_equal(read[0, 0] == 0, np.array(mask) == 0)
    assert image.size == mask.size


def test_the_recipe_runs() -> None:
    import torch

    image, mask = pictures()
    words = torch.zeros(1, 4, 32)

    (result,) = (
        pipeline()(
            prompt_embeds=words,
            negative_prompt_embeds=words,
            image=image,
            mask_image=mask,
            width=WIDTH,
            height=HEIGHT,
            num_inference_steps=2,
        )
    ).images

    assert result.size == (WIDTH, HEIGHT)

"""Where a sentence encoder lies, without opening a weight. No torch here."""

from __future__ import annotations

import re
from pathlib import Path

from atu.embedding.config import EncoderConfig
from atu.errors import UserError
from atu.models.packaged import encoder_folder

WHAT_TO_DO = "Give the folder or the hub id of a sentence encoder, or choose text_encoder=all-minilm-l6-v2."
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def local_encoder(config: EncoderConfig) -> Path | None:
    """The encoder's folder; None where it has yet to be fetched, from its packages or from the hub.

    Raises:
        UserError: it is neither a folder nor the id of one on the hub.
    """
    if config.packages:
        folder = encoder_folder(config.packages, config.name)
        return folder if folder.is_dir() else None
    folder = Path(config.model_name).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(config.model_name):
        raise UserError(f"text_encoder.model_name: there is no folder {folder}. {WHAT_TO_DO}")
    return None

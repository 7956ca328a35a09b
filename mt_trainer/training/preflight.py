"""What would stop a run for want of room or permission, found before any work is done."""

import contextlib
import os
import shutil
import uuid
from pathlib import Path

import torch

from mt_trainer.config import TrainConfig
from mt_trainer.config.data import TextSource, TsvSource
from mt_trainer.data.tokenizers import given_tokenizers
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.model.build import build_transformer
from mt_trainer.training.building import max_positions_of

CORPUS_SHARE = 0.2
"""Bytes of the encoded corpus for one of plain text, at least: two for a piece, and 32 for a pair."""


def require_room(config: TrainConfig, run_folder: Path) -> None:
    """Check that run folder and cache can be written, and that what is certain to be written fits on the disk.

    That is two checkpoints of a new run, since the older one goes when the newer one stands; one more of a run that
    goes on; and the encoded corpus, estimated low. Nothing is left behind.

    Raises:
        CheckpointError: MT103 for each folder, with the room that is needed and the room that is there.
    """
    cache = Path(config.runtime.cache_folder)
    num_checkpoints = 1 if os.path.isdir(run_folder / "checkpoints") else 2
    needed = {run_folder: num_checkpoints * checkpoint_bytes(config)}
    if not os.path.exists(cache):
        needed[cache] = int(CORPUS_SHARE * text_bytes(config))
    problems = [found for folder in (run_folder, cache) if (found := _not_writable(folder)) is not None]
    if not problems:
        disks: dict[int, list[Path]] = {}
        for folder in needed:
            disks.setdefault(os.stat(_existing(folder)).st_dev, []).append(folder)
        for folders in disks.values():
            free = shutil.disk_usage(_existing(folders[0])).free
            total = sum(needed[folder] for folder in folders)
            if total > free:
                message = f"the disk is too small: at least {total:,} bytes are needed, {free:,} are free"
                help_ = "make room, choose another disk (runtime.run_folder, runtime.cache_folder), or a smaller model"
                problems.append(Problem("MT103", message, where=str(folders[0]), help=help_))
    if problems:
        raise CheckpointError(problems)


def checkpoint_bytes(config: TrainConfig) -> int:
    """Size of one checkpoint: the weights, AdamW's two moments, and the moving average beside them."""
    given = given_tokenizers(config.tokenizer)
    with torch.device("meta"):  # takes no memory
        model = build_transformer(
            config.model,
            src_vocab_size=given.src.vocab_size if given else config.tokenizer.vocab_size,
            tgt_vocab_size=given.tgt.vocab_size if given else config.tokenizer.vocab_size,
            max_positions=max_positions_of(config),
            pad_id=0,
        )
    copies = 3 + (config.training.ema_decay > 0)
    return copies * sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def text_bytes(config: TrainConfig) -> int:
    """Size of the training text in files that are there, as it lies on the disk."""
    paths: list[str] = []
    for source in config.data.train:
        match source:
            case TextSource():
                paths += [source.src, source.tgt]
            case TsvSource():
                paths.append(source.path)
            case _:
                pass
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


def _not_writable(folder: Path) -> Problem | None:
    """Try it: the mode bits do not tell of read-only disks, quotas or servers."""
    parent = _existing(folder)
    probe = parent / f"probe-{uuid.uuid4().hex[:8]}.unfinished"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(folder)  # a name may be too long
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        message = f"nothing can be written here: {error.strerror or error}"
        help_ = "make it writable, or give another runtime.run_folder or runtime.cache_folder"
        return Problem("MT103", message, where=str(folder), help=help_)
    return None


def _existing(folder: Path) -> Path:
    """The folder, or the innermost one above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))

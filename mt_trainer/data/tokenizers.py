"""The tokenizers of a run: given, or trained for the same text and settings before and kept in the cache."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from mt_trainer.config.data import DataConfig, TokenizerConfig
from mt_trainer.config.schema import TrainConfig
from mt_trainer.data.cache import cache_key, new_folder
from mt_trainer.errors import DataError, Problem, TokenizerError
from mt_trainer.tokenizer import TRAINING_THREADS, Tokenizer, TokenizerPair

TOKENIZER_FORMAT = 2
"""Changes whenever the same text and settings would give another tokenizer."""

HASH_FILE = "content_hash.txt"


def known_tokenizers(config: TrainConfig, fingerprints: Sequence[str]) -> TokenizerPair | None:
    """The tokenizers that the config names, or that were trained for it before; None when they are to be trained.

    Raises:
        TokenizerError: MT081 when a file cannot be used, MT084 when it is of a kind that will not do.
        DataError: MT057 when a byte of what was trained before has changed.
    """
    given = given_tokenizers(config.tokenizer)
    if given is not None and config.data.subword_alpha is not None:
        require_unigram(given)
    folder = _tokenizer_folder(config, fingerprints)
    return _cached_tokenizers(folder) if given is None and folder.exists() else given


def keep_tokenizers(tokenizers: TokenizerPair, config: TrainConfig, fingerprints: Sequence[str]) -> None:
    """Puts tokenizers that were trained just now into the cache.

    Raises:
        DataError: MT103 when the disk does not take it.
    """
    with new_folder(_tokenizer_folder(config, fingerprints)) as folder:
        tokenizers.save(folder)
        (folder / HASH_FILE).write_text(tokenizers.content_hash, encoding="ascii")


def given_tokenizers(config: TokenizerConfig) -> TokenizerPair | None:
    """The tokenizers whose model files the config names, or None when they are to be trained.

    Raises:
        TokenizerError: MT081 when a file cannot be used.
    """
    if config.model_file is not None:
        joint = Tokenizer.load(config.model_file)
        return TokenizerPair(src=joint, tgt=joint, is_joint=True)
    if config.src_model_file is None or config.tgt_model_file is None:
        return None
    src, tgt = Tokenizer.load(config.src_model_file), Tokenizer.load(config.tgt_model_file)
    return TokenizerPair(src=src, tgt=tgt, is_joint=False)


def require_unigram(tokenizers: TokenizerPair) -> None:
    """Refuses tokenizers whose segmentations have no probabilities to draw by.

    Raises:
        TokenizerError: MT084.
    """
    algorithms = {tokenizers.src.algorithm, tokenizers.tgt.algorithm}
    if other := algorithms - {"unigram"}:
        message = f"`data.subword_alpha` draws by a unigram model, but the tokenizer is of the kind {min(other)}"
        advice = "give a unigram tokenizer, or leave `data.subword_alpha` out"
        raise TokenizerError(Problem("MT084", message, where="data.subword_alpha", help=advice))


def _tokenizer_folder(config: TrainConfig, fingerprints: Sequence[str]) -> Path:
    key = _tokenizer_key(fingerprints, config.data, config.tokenizer)
    return Path(config.runtime.cache_folder) / "tokenizers" / key


def _cached_tokenizers(folder: Path) -> TokenizerPair:
    """What was trained before.

    Raises:
        DataError: MT057 when a byte of it has changed.
    """
    try:
        tokenizers = TokenizerPair.load(folder)
        if (folder / HASH_FILE).read_text(encoding="ascii") == tokenizers.content_hash:
            return tokenizers
    except (TokenizerError, OSError, ValueError):
        pass
    advice = f"delete the folder, the tokenizer will be trained again: rm -r {folder}"
    raise DataError(Problem("MT057", "the cached tokenizer is damaged", where=str(folder), help=advice))


def _tokenizer_key(fingerprints: Sequence[str], data: DataConfig, tokenizer: TokenizerConfig) -> str:
    return cache_key(
        {
            "format": TOKENIZER_FORMAT,
            "sentencepiece": version("sentencepiece"),
            "threads": TRAINING_THREADS,
            "text": list(fingerprints),
            "filters": {
                "max_length": data.max_length,
                "drop_identical": data.drop_identical,
                "drop_duplicates": data.drop_duplicates,
                "on_invalid_text": data.on_invalid_text,
            },
            "tokenizer": tokenizer.model_dump(mode="json"),
        }
    )

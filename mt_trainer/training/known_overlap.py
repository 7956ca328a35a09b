"""How much of an evaluation set the training text of a run gives away, told long after the training."""

import re
from dataclasses import replace
from pathlib import Path

from mt_trainer.artefacts import read_json
from mt_trainer.data.corpus import Corpus
from mt_trainer.data.evaluation_sets import EvalSet, with_overlap
from mt_trainer.errors import DataError
from mt_trainer.training.run_folder import recorded_overlap

CACHE_KEY = re.compile(r"[0-9a-f]{32}")
"""The name of a folder in the cache, and nothing that leads elsewhere."""


def with_known_overlap(eval_set: EvalSet, run_folder: Path, *, cache_folder: Path) -> EvalSet:
    """The set with its overlap, as the run has recorded it or as its cached corpus still tells; else as it was.

    Args:
        eval_set: of the run's config, or any other.
        run_folder: of the run whose training text it is.
        cache_folder: where the encoded corpora are.
    """
    if (overlap := recorded_overlap(run_folder, eval_set.fingerprint)) is not None:
        return replace(eval_set, train_overlap=overlap[0], exact_train_overlap=overlap[1])
    try:
        record = read_json(run_folder / "data.json")
        if not CACHE_KEY.fullmatch(record["cached_as"]):
            return eval_set
        corpus = Corpus(cache_folder / "corpora" / record["cached_as"])
        if corpus.content_hash == record["corpus"]:
            return with_overlap(eval_set, exact=corpus.array("src_hashes"), alike=corpus.array("src_hashes_alike"))
    except (OSError, ValueError, KeyError, TypeError, DataError):
        pass  # it is not known, and the table says so
    return eval_set

"""Tokenizer files with random edits: usable, or refused by TokenizerError; nothing else escapes, nothing crashes."""

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.errors import TokenizerError
from mt_trainer.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["the dog sees a tree", "ein Hund, der ﬁndet", "漢字 \U0001f600", "", " ", "\u2028"]


@cache
def model() -> bytes:
    """A small model file."""
    lines = [f"the {word} sees a {word[::-1]}" for word in ("dog", "tree", "house", "bird") * 20]
    return train_tokenizer(
        lines, algorithm="unigram", vocab_size=275, character_coverage=1.0, byte_fallback=True, num_threads=1
    ).model_bytes


def edited(seed: int, number: int) -> bytes:
    """Some edits in random places: bytes flipped, cut out, doubled, put in."""
    draw, content = random.Random(seed), bytearray(model())
    for _ in range(number):
        start = draw.randrange(len(content))
        end = start + draw.choice([1, 1, 2, 8, 100])
        match draw.randrange(4):
            case 0:
                content[start] ^= 1 << draw.randrange(8)
            case 1:
                del content[start:end]
            case 2:
                content[start:start] = content[start:end]
            case _:
                content[start:end] = draw.randbytes(end - start)
    return bytes(content)


def check(content: bytes) -> None:
    try:
        tokenizer = Tokenizer(content)
        assert tokenizer.vocab_size > 0
        ids = tokenizer.encode(TEXTS)
        assert len(tokenizer.decode(ids)) == len(TEXTS)
        assert all("\n" not in text for text in tokenizer.decode(ids))
        assert tokenizer.algorithm in ("unigram", "bpe", "word", "char", "unknown")
        assert all(0 <= index < tokenizer.vocab_size for sequence in ids for index in sequence)
    except TokenizerError as error:
        [problem] = error.problems
        assert problem.code == "MT081"
        assert problem.where == "tokenizer"


EDITS = {"seed": st.integers(0, 2**32), "number": st.integers(1, 4)}


@settings(max_examples=100, deadline=None)
@given(**EDITS)
def test_an_edited_model_is_used_or_refused(seed: int, number: int) -> None:
    check(edited(seed, number))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(TokenizerError):
        Tokenizer(content)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(**EDITS)
def test_many_edited_models_are_used_or_refused(seed: int, number: int) -> None:
    check(edited(seed, number))

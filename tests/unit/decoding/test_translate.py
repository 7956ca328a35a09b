"""The translator around the searches: order, blank lines, batches, limits, settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch

from mt_trainer.config.evaluation import DecodingConfig
from mt_trainer.config.model import ModelConfig
from mt_trainer.decoding.translate import Translator, build_translator, require_precision
from mt_trainer.errors import ConfigError
from mt_trainer.model.build import build_transformer
from mt_trainer.model.packed import has_bf16
from mt_trainer.tokenizer import TokenizerPair

CPU = torch.device("cpu")
LETTERS = "abcdefghijklmnop"


@dataclass(frozen=True)
class LetterTokenizer:
    """One piece a letter; white space is dropped."""

    pad_id: int = 0
    unk_id: int = 1
    bos_id: int = 2
    eos_id: int = 3

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[4 + LETTERS.index(c) for c in text if not c.isspace()] for text in texts]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return ["".join("?" if i == self.unk_id else LETTERS[i - 4] for i in row) for row in ids]


def translator(max_positions: int = 40, **settings: Any) -> Translator:
    torch.manual_seed(3)
    config = ModelConfig(
        preset="transformer_tiny", num_encoder_layers=1, num_decoder_layers=1, d_model=16, ffn_dim=16, num_heads=2
    )
    size = 4 + len(LETTERS)
    model = build_transformer(config, src_vocab_size=size, tgt_vocab_size=size, max_positions=max_positions, pad_id=0)
    with torch.no_grad():
        model.output_weight *= 4  # a random model with opinions
    letters = LetterTokenizer()
    tokenizers = cast(TokenizerPair, type("Pair", (), {"src": letters, "tgt": letters}))
    return build_translator(
        DecodingConfig(**settings), model=model, tokenizers=tokenizers, device=torch.device("cpu"), seed=5
    )


TEXTS = ["abc", "", "p", "fedcba fedcba", "  ", "hijk", "aaaaaaaaa", "abc"]


@pytest.mark.parametrize("strategy", ["beam", "greedy", "sampling"])
def test_order_blank_lines_and_batches_of_any_size(strategy: str) -> None:
    whole = translator(strategy=strategy, batch_tokens=100_000).translate(TEXTS)
    singly = translator(strategy=strategy, batch_tokens=1).translate(TEXTS)
    assert [[t.tokens for t in row] for row in whole] == [[t.tokens for t in row] for row in singly]
    assert [row[0].text for row in whole][1] == [row[0].text for row in whole][4] == ""
    assert all(row[0].text for i, row in enumerate(whole) if i not in (1, 4))
    if strategy != "sampling":
        assert whole[0] == whole[7]  # the same text at two places
    for row, text in zip(whole, TEXTS, strict=True):
        [alone] = translator(strategy=strategy).translate([text], first_id=TEXTS.index(text))
        if strategy != "sampling" or text != "abc":
            assert alone[0].text == row[0].text


def test_the_longest_output_is_ratio_times_source_plus_constant() -> None:
    # 5 letters and the end mark: 0.5 * 6 + 2 = 5 tokens, the last of which is the end mark.
    [[translation]] = translator(max_length_ratio=0.5, max_length_constant=2, strategy="greedy").translate(["abcde"])
    assert len(translation.tokens) == 4
    # never more than the model has positions
    [[translation]] = translator(max_positions=9, max_length_ratio=5.0, strategy="greedy").translate(["abcde"])
    assert len(translation.tokens) <= 8


def test_a_source_longer_than_the_model_is_cut_and_marked() -> None:
    [[cut], [whole]] = translator(max_positions=9).translate(["abcdefghijkl", "abcdefgh"])
    assert cut.source_was_cut
    assert not whole.source_was_cut
    assert cut.text == whole.text


def test_n_best_and_scores() -> None:
    [row] = translator(n_best=4, beam_size=4, length_penalty=0.0).translate(["abc"])
    assert len(row) == 4
    assert len({t.text for t in row}) == 4
    assert [t.score for t in row] == sorted((t.score for t in row), reverse=True)
    assert all(t.score == t.log_prob < 0 for t in row)


def test_the_model_is_left_in_the_mode_it_was_in() -> None:
    machine = translator()
    for training in (True, False):
        machine.model.train(training)
        first = machine.translate(["abc"])
        assert machine.model.training is training
        assert first == machine.translate(["abc"])  # no dropout while translating


def test_nothing_to_translate() -> None:
    assert translator().translate([]) == []
    assert [t.text for [t] in translator().translate(["", ""])] == ["", ""]


def test_batches_are_bounded_in_tokens_and_in_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    # With the end mark 3 + 1 and 1 + 1 source tokens; two beams each.
    machine = translator(beam_size=2, batch_tokens=20)
    lengths = [3, 1, 3, 0, 3, 1, 1, 1, 1]
    assert list(machine._batches(lengths)) == [[0, 2], [4, 1], [5, 6, 7, 8]]
    monkeypatch.setattr("mt_trainer.decoding.translate.MAX_ROWS", 6)
    assert list(machine._batches(lengths)) == [[0, 2], [4, 1], [5, 6, 7], [8]]
    monkeypatch.setattr("mt_trainer.decoding.translate.MAX_ROWS", 1)
    assert list(machine._batches([1, 1])) == [[0], [1]]


def test_batches_side_by_side_give_what_one_after_the_other_gives() -> None:
    texts = [LETTERS[i % 7 : i % 7 + 1 + i % 9] for i in range(40)]
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            found.append(translator(batch_tokens=100, n_best=2).translate(texts))
            assert torch.get_num_threads() == number  # as before
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "precision",
    [pytest.param("bf16", marks=pytest.mark.skipif(not has_bf16(CPU), reason="no bf16 on this CPU")), "int8"],
)
def test_lower_precisions_translate_nearly_alike(precision: str) -> None:
    texts = [LETTERS[i : i + 3] for i in range(13)]
    exact, lower = (translator(precision=each).translate(texts) for each in ("fp32", precision))
    log_probs = [[row[0].log_prob for row in rows] for rows in (exact, lower)]
    assert log_probs[0] != log_probs[1]
    # A beam may end elsewhere where two were close.
    assert sum(b == pytest.approx(a, rel=0.1) for a, b in zip(*log_probs, strict=True)) >= 11


def test_a_translator_sees_weights_that_training_has_changed() -> None:
    machine = translator()
    [[before]] = machine.translate(["abc"])
    with torch.no_grad():
        for parameter in machine.model.decoder.parameters():
            parameter *= 1.5
    [[after]] = machine.translate(["abc"])
    assert before.log_prob != after.log_prob


def test_without_onednn_the_model_itself_translates() -> None:
    whole, bare = translator(), translator()
    bare.is_packed = False
    for row, other in zip(whole.translate(TEXTS), bare.translate(TEXTS), strict=True):
        assert row[0].tokens == other[0].tokens
        assert row[0].log_prob == pytest.approx(other[0].log_prob, abs=1e-4)


def test_int8_is_refused_on_a_gpu() -> None:
    machine = translator()
    with pytest.raises(ConfigError, match="int8 is not supported on a GPU") as refused:
        build_translator(
            DecodingConfig(precision="int8"),
            model=machine.model,
            tokenizers=machine.tokenizers,
            device=torch.device("cuda"),
            seed=1,
        )
    assert refused.value.problems[0].code == "MT007"


@pytest.mark.parametrize(
    ("precision", "lacking", "message", "remedy"),
    [
        ("bf16", ["bf16"], "bf16 is not supported by this CPU", "use `fp32` or `int8`"),
        ("bf16", ["bf16", "int8"], "bf16 is not supported by this CPU", "use `fp32`"),
        ("int8", ["int8"], "int8 is not supported by this build of torch", "use `fp32` or `bf16`"),
        ("int8", ["bf16", "int8"], "int8 is not supported by this build of torch", "use `fp32`"),
    ],
)
def test_what_a_cpu_lacks_is_refused(
    precision: Any, lacking: list[str], message: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy names only what works there."""
    machine = translator()
    for name in ("bf16", "int8"):
        monkeypatch.setattr(f"mt_trainer.decoding.translate.has_{name}", lambda device, name=name: name not in lacking)
    settings = DecodingConfig(precision=precision)
    require_precision(DecodingConfig(), CPU)
    with pytest.raises(ConfigError) as refused:
        require_precision(settings, CPU)
    [problem] = refused.value.problems
    assert (problem.code, problem.message, problem.help) == ("MT007", message, remedy)
    with pytest.raises(ConfigError, match="MT007"):
        build_translator(settings, model=machine.model, tokenizers=machine.tokenizers, device=CPU, seed=1)

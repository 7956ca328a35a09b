"""Section `runtime`: where the run lives and what it runs on."""

from typing import Literal

from mt_trainer.config.section import Section, setting


class RuntimeConfig(Section):
    """The seed, precision, device and number of threads change the numbers; the folders do not."""

    run_folder: str | None = setting(
        None, "Where everything is written; by default `runs/<name of the config file>`.", min_length=1
    )
    cache_folder: str = setting(
        "runs/cache", "Where encoded corpora and tokenizers are kept between runs.", min_length=1
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "`auto` takes CUDA where it is available.")
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Precision of the matmuls; `auto` is bf16 where the device is good at it. Parameters stay fp32."
    )
    logit_buffer_bytes: int = setting(
        2 * 2**30,
        "Memory for the logits of a part of a batch on a GPU: more is faster, up to a point. A CPU takes what its "
        "cache holds.",
        unit="bytes",
        ge=2**20,
    )
    compile: bool = setting(
        False,
        "Compile the encoder and decoder layers for training, which takes time at the first start. On a CPU it needs a "
        "C++ compiler, and micro-batches are then computed one after the other.",
    )
    threads: int | None = setting(
        None,
        "CPU threads of each process; null for one a physical core, or what OMP_NUM_THREADS says.",
        unit="threads",
        ge=1,
        le=1024,
    )
    rank_timeout_seconds: float = setting(
        300.0,
        "Of several processes, how long one may give no sign of life, or keep the others waiting, before the run ends.",
        unit="seconds",
        gt=0.0,
    )
    seed: int = setting(1, "Seed of initialisation, data order, dropout and sampling.", ge=0, lt=2**31)

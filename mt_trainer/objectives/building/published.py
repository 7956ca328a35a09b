"""Where objectives come from, and which published variant a setting equals."""

from mt_trainer.config.objective import (
    AntiFocalConfig,
    BrierConfig,
    ClassWeightedConfig,
    ConfidencePenaltyConfig,
    CrossEntropyConfig,
    DistillationConfig,
    EarthMoverConfig,
    ErrorNormTruncationConfig,
    FocalConfig,
    GoldDeltaConfig,
    GraduatedLabelSmoothingConfig,
    LabelSmoothingConfig,
    LossTruncationConfig,
    MixCEConfig,
    RDropConfig,
    SingleObjective,
    SparseDistillationConfig,
    SphericalConfig,
    TaiLrConfig,
    UnlikelihoodConfig,
    WeightedLabelSmoothingConfig,
)

SCORES = "Shao et al., ICML 2024 (shaochenze/ScoringRulesLM)"

SOURCES: dict[type[SingleObjective], str] = {
    CrossEntropyConfig: "maximum likelihood",
    LabelSmoothingConfig: "Szegedy et al. 2016",
    ClassWeightedConfig: "torch.nn.CrossEntropyLoss(weight=...)",
    WeightedLabelSmoothingConfig: "Chen et al., ACL 2022 (chenllliang/MLS)",
    GraduatedLabelSmoothingConfig: "Wang et al., ACL 2020",
    ConfidencePenaltyConfig: "Pereyra et al. 2017 (rycolab/entropyRegularization)",
    TaiLrConfig: "Ji et al., ICLR 2023 (thu-coai/TaiLr)",
    MixCEConfig: "Zhang et al., ACL 2023 (as in DRSY/EMO)",
    GoldDeltaConfig: "Pang & He, ICLR 2021",
    FocalConfig: "Lin et al. 2017",
    AntiFocalConfig: "Raunak et al., Findings of EMNLP 2020 (vyraun/long-tailed)",
    ErrorNormTruncationConfig: "Li et al., ICLR 2024 (tianjianl/error_norm_truncation)",
    LossTruncationConfig: "Kang & Hashimoto, ACL 2020 (ddkang/loss_dropper)",
    BrierConfig: SCORES,
    SphericalConfig: SCORES,
    EarthMoverConfig: "Ren et al., ICLR 2024 (DRSY/EMO)",
    UnlikelihoodConfig: "Welleck et al., ICLR 2020 (facebookresearch/unlikelihood_training)",
    RDropConfig: "Liang et al., NeurIPS 2021 (dropreg/R-Drop)",
    DistillationConfig: "Kim & Rush 2016; divergences: Ko et al., ICML 2024 (jongwooko/distillm)",
    SparseDistillationConfig: "Anshumann et al., ACL 2025",
}
"""The paper, and the released code that the formula was held to."""

CONVENTIONS = {
    "torch": "torch.nn.CrossEntropyLoss(label_smoothing={epsilon}); Sockeye, Marian, OpenNMT-py since 3.0.3, "
    "fairseq before February 2021",
    "fairseq": "label_smoothed_cross_entropy of fairseq since 791ab7c2; tensor2tensor and THUMT, which subtract a "
    "constant",
    "no_pad": "JoeyNMT and OpenNMT-py up to 3.0.2, which subtract a constant",
    "kl": "LabelSmoothingLoss of the tutorial that this project started from",
}


def published_as(objective: SingleObjective) -> str | None:
    """The toolkit, recipe or limit that an objective is equal to, as far as one is known."""
    match objective:
        case LabelSmoothingConfig(epsilon=0.0):
            return "cross-entropy"
        case LabelSmoothingConfig(prior="uniform", epsilon=float() as epsilon):
            return CONVENTIONS[objective.convention].format(epsilon=f"{epsilon:g}")
        case LabelSmoothingConfig(prior="unigram", prior_temperature=1.0):
            return "unigram label smoothing of Pereyra et al. 2017"
        case LabelSmoothingConfig(prior="target_side", convention="fairseq"):
            return "masked label smoothing of Chen et al., ACL 2022 (chenllliang/MLS)"
        case TaiLrConfig(gamma=0.0, epsilon=0.0) | TaiLrConfig(min_weight=1.0, epsilon=0.0):
            return "cross-entropy"
        case TaiLrConfig(gamma=0.0, epsilon=float(epsilon)) | TaiLrConfig(min_weight=1.0, epsilon=float(epsilon)):
            return f"label smoothing {epsilon:g} in torch's convention"
        case TaiLrConfig(gamma=0.1, min_weight=0.3, epsilon=0.1):
            return "the official recipe for IWSLT14 de-en"
        case TaiLrConfig(gamma=1e-7, min_weight=0.2, epsilon=0.0):
            return "the official recipe for synthetic captions"
        case ConfidencePenaltyConfig(beta=0.0) | MixCEConfig(eta=1.0) | FocalConfig(gamma=0.0):
            return "cross-entropy"
        case ConfidencePenaltyConfig(beta=2.5, threshold=None):
            return "the setting of Pereyra et al. 2017 for WMT14 en-de"
        case AntiFocalConfig(alpha=0.0) | AntiFocalConfig(gamma=0.0):
            return "cross-entropy"
        case AntiFocalConfig(alpha=0.5, gamma=1.0):
            return "the official recipe for IWSLT14 and IWSLT17"
        case LossTruncationConfig(fraction=0.4, window=10_000, min_count=10_000):
            return "the defaults of ddkang/loss_dropper, but for when its quantile is taken anew"
        case BrierConfig(epsilon=0.1) | SphericalConfig(epsilon=0.1):
            return "the official recipe for TED fr-en, where it follows 13,000 steps of cross-entropy"
        case EarthMoverConfig(adaptive=True):
            return f"emo{objective.variant}_adaptive of DRSY/EMO"
        case RDropConfig(alpha=5.0, epsilon=0.1, convention="torch"):
            return "the official recipe for IWSLT14 de-en"
        case RDropConfig(alpha=5.0, epsilon=0.1, convention="fairseq"):
            return "label_smoothed_cross_entropy_with_rdrop of fairseq, with its alpha of 5"
        case _:
            return None

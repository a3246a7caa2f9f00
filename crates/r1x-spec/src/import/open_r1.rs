//! Recipes of open-r1: TRL's keys, with functions for rewards, a prompt, and the defaults of the TRL that it pins.

use super::common;
use super::filling::Filling;
use super::rewards::{Made, RewardRow, With};
use super::row::Group::{Files, Hub, Idle, Logging, Sampler};
use super::row::Method::Grpo;
use super::row::Takes::{Number, Text, Texts, Whole};
use super::row::{Method, Row, Table};
use super::trl::{self, Columns};

pub(super) const TABLE: Table = Table {
    version: "open-r1 with TRL 0.18",
    parts: &[OWN, trl::GRPO, trl::SFT, trl::COMMON],
    defaults: &[
        ("beta", "0.04"),
        ("loss_type", "bnpo"),
        ("max_completion_length", "256"),
        ("max_prompt_length", "512"),
        ("top_k", ""),
        ("use_bias_correction_kl", "false"),
        ("bf16", "false"),
        ("gradient_checkpointing", "false"),
        ("optim", "adamw_torch"),
    ],
};

/// What open-r1 has beside TRL's keys.
pub(super) const OWN: &[Row] = &[
    Row::part(
        "reward_funcs",
        Texts,
        "accuracy, format, tag_count",
        &["rewards.ID.plugin", "rewards.ID.with", "STAGE.rewards"],
    )
    .of(Grpo),
    Row::part("cosine_min_value_wrong", Number, "0", &["rewards.ID.with"]).of(Grpo),
    Row::part("cosine_max_value_wrong", Number, "-0.5", &["rewards.ID.with"]).of(Grpo),
    Row::part("cosine_min_value_correct", Number, "0.5", &["rewards.ID.with"]).of(Grpo),
    Row::part("cosine_max_value_correct", Number, "1", &["rewards.ID.with"]).of(Grpo),
    Row::part("cosine_max_len", Whole, "1000", &["rewards.ID.with"]).of(Grpo),
    Row::part("repetition_n_grams", Whole, "3", &["rewards.ID.with"]).of(Grpo),
    Row::part("repetition_max_penalty", Number, "-1", &["rewards.ID.with"]).of(Grpo),
    Row::part("max_completion_len", Whole, "16384", &["rewards.ID.with"]).of(Grpo),
    Row::part("soft_punish_cache", Whole, "4096", &["rewards.ID.with"]).of(Grpo),
    Row::nothing("code_language", Text, "python", "the programs of r1x are Python").of(Grpo),
    Row::nothing(
        "code_eval_scoring_mode",
        Text,
        "weighted_sum",
        "it is about a reward that r1x does not have",
    )
    .of(Grpo),
    Row::no_matter("code_eval_test_batch_size", Sampler).of(Grpo),
    Row::no_matter("parallel_code_exec_per_proc", Sampler).of(Grpo),
    Row::no_matter("code_provider", Sampler).of(Grpo),
    Row::no_matter("ioi_provider", Sampler).of(Grpo),
    Row::no_matter("e2b_router_url", Sampler).of(Grpo),
    Row::no_matter("morph_router_url", Sampler).of(Grpo),
    Row::part("dataset_prompt_column", Text, "prompt", &["data.ID.messages.user"]).of(Grpo),
    Row::part("system_prompt", Text, "", &["data.ID.messages.system"]).of(Grpo),
    Row::part("dataset_configs", Texts, "", &["data.ID.parquet.path"]),
    Row::nothing(
        "system_prompt",
        Text,
        "",
        "the conversations of the data have their own system message",
    )
    .of(Method::Sft),
    Row::nothing(
        "chat_template",
        Text,
        "",
        "r1x takes the chat template in the folder of the model: put this one there as chat_template.jinja",
    ),
    Row::no_matter("benchmarks", Idle),
    Row::no_matter("callbacks", Idle),
    Row::no_matter("wandb_*", Logging),
    Row::no_matter("overwrite_hub_revision", Hub),
    Row::no_matter("push_to_hub_revision", Hub),
    Row::no_matter("hub_model_revision", Files),
];

const OF_MATHS: &[(&str, &str)] = &[("answer", "solution")];
const BOXED: (&str, With) = ("extract", With::Is("[boxed]"));
const WHOLE: (&str, With) = ("part", With::Is("whole"));
const BY_PATTERN: (&str, With) = ("mode", With::Is("regex"));
const AS_IT_IS: (&str, With) = ("ignore_space", With::Is("false"));
const COSINE: (&str, With) = ("shape", With::Is("cosine"));
const CHARACTERS: (&str, With) = ("unit", With::Is("characters"));
const LONGEST: (&str, With) = ("max", With::Of("cosine_max_len"));
const WRONG: &[(&str, With)] = &[
    COSINE,
    LONGEST,
    ("start", With::Of("cosine_min_value_wrong")),
    ("end", With::Of("cosine_max_value_wrong")),
    CHARACTERS,
];

/// A reward that gives 1 where a completion has a match of a pattern.
const fn pattern(id: &'static str, with: &'static [(&'static str, With)]) -> Made {
    Made::by(id, "match", with)
}

macro_rules! matching {
    ($pattern:literal) => {
        &[BY_PATTERN, WHOLE, AS_IT_IS, ("pattern", With::Is($pattern))]
    };
}

/// The functions that open-r1 knows by name.
pub(super) const REWARDS: &[RewardRow] = &[
    RewardRow {
        name: "accuracy",
        makes: &[Made::by("accuracy", "math", &[BOXED])],
        columns: OF_MATHS,
        note: "r1x compares answers by its own rules, beside Math-Verify's in docs/rewards.md, and words where an \
               expected answer is no mathematics; the column `solution` is to hold the short answer, so where it holds a \
               worked one name another (`columns: {answer: ...}`)",
    },
    RewardRow {
        name: "format",
        makes: &[pattern(
            "format",
            matching!(r"'(?sm)\A<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$'"),
        )],
        columns: &[],
        note: "",
    },
    RewardRow {
        name: "tag_count",
        // A tag that is there exactly once is there, and is not there twice.
        makes: &[
            pattern("tag_1", matching!(r"'<think>\n'")).times(0.25),
            pattern("tag_1_twice", matching!(r"'(?s)<think>\n.*<think>\n'")).times(-0.25),
            pattern("tag_2", matching!(r"'\n</think>\n'")).times(0.25),
            pattern("tag_2_twice", matching!(r"'(?s)\n</think>\n.*\n</think>\n'")).times(-0.25),
            pattern("tag_3", matching!(r"'\n<answer>\n'")).times(0.25),
            pattern("tag_3_twice", matching!(r"'(?s)\n<answer>\n.*\n<answer>\n'")).times(-0.25),
            pattern("tag_4", matching!(r"'\n</answer>'")).times(0.25),
            pattern("tag_4_twice", matching!(r"'(?s)\n</answer>.*\n</answer>'")).times(-0.25),
        ],
        columns: &[],
        note: "it is the sum of eight: what a tag gives, less what it gives when it comes twice",
    },
    RewardRow {
        name: "code_format",
        makes: &[pattern(
            "code_format",
            matching!(
                r"'(?sm)\A<think>\n.*?\n</think>\n<answer>\n.*?```python.*?```.*?\n</answer>$'"
            ),
        )],
        columns: &[],
        note: "of Python; the column `language` is not read",
    },
    RewardRow {
        name: "cosine",
        // The reward of wrong answers is given to all, and taken back from right ones.
        makes: &[
            Made::by("cosine_wrong", "length", WRONG),
            Made::by("cosine_wrong_back", "length", WRONG).only_if("accuracy").times(-1.0),
            Made::by(
                "cosine_right",
                "length",
                &[
                    COSINE,
                    LONGEST,
                    ("start", With::Of("cosine_max_value_correct")),
                    ("end", With::Of("cosine_min_value_correct")),
                    CHARACTERS,
                ],
            )
            .only_if("accuracy"),
        ],
        columns: OF_MATHS,
        note: "it is the sum of three: the curve of wrong answers, the same taken back where `accuracy` gives 1, and the \
               curve of right ones there; beyond `cosine_max_len` r1x stays at the end, where open-r1 turns back",
    },
    RewardRow {
        name: "repetition_penalty",
        makes: &[Made::by(
            "repetition",
            "repetition",
            &[
                ("ngram", With::Of("repetition_n_grams")),
                ("max_penalty", With::Of("repetition_max_penalty")),
                ("unit", With::Is("words")),
            ],
        )],
        columns: &[],
        note: "",
    },
    RewardRow {
        name: "soft_overlong_punishment",
        makes: &[Made::by(
            "overlong",
            "length",
            &[
                ("shape", With::Is("overlong")),
                ("max", With::Of("max_completion_len")),
                ("buffer", With::Of("soft_punish_cache")),
            ],
        )],
        columns: &[],
        note: "",
    },
    RewardRow {
        name: "code",
        makes: &[Made::by("code", "code", &[("partial", With::Is("true"))]).granted("exec")],
        columns: OF_CODE,
        note: TESTS,
    },
    RewardRow {
        name: "binary_code",
        makes: &[Made::by("code", "code", &[("partial", With::Is("false"))]).granted("exec")],
        columns: OF_CODE,
        note: TESTS,
    },
    RewardRow {
        name: "length",
        makes: &[],
        columns: &[],
        note: "it compares the lengths of a group, which no built-in reward does; a function of Python is given `groups` \
               (docs/plugins.md)",
    },
    RewardRow {
        name: "reasoning_steps",
        makes: &[],
        columns: &[],
        note: "no built-in reward counts steps; a function of Python does it in five lines (docs/first-reward.md)",
    },
    RewardRow {
        name: "ioi_code",
        makes: &[],
        columns: &[],
        note: "r1x runs Python, and no graders of contests",
    },
    RewardRow {
        name: "cf_code",
        makes: &[],
        columns: &[],
        note: "r1x runs Python, and no graders of contests",
    },
];

const OF_CODE: &[(&str, &str)] = &[("tests", "tests")];
const TESTS: &str = "r1x reads a column `tests`, which is the list `verification_info.test_cases` of open-r1's data; programs \
                     run in its own sandbox";

const COLUMNS: Columns =
    Columns { prompt_key: "dataset_prompt_column", system_key: "system_prompt" };

/// Fills a spec from a recipe of open-r1.
pub(super) fn fill(filling: &mut Filling<'_>, file: &str) {
    filling.follow_rows();
    common::write_name(filling, &["run_name", "hub_model_id", "output_dir"], file);
    if filling.method == Method::Sft {
        trl::write_examples(filling);
    } else {
        trl::write_problems(filling, &COLUMNS, "reward_funcs", REWARDS);
    }
    trl::train(filling, "model_name_or_path");
}

//! What r1x says about mistakes: `mistakes.txt` shows every message in full, as users see it.
//!
//! Must not check anything else. `R1X_BLESS=1` rewrites the file after a change that was meant.

mod common;
#[path = "mistakes/critic.rs"]
mod critic;
#[path = "mistakes/data.rs"]
mod data;
#[path = "mistakes/distill.rs"]
mod distill;
#[path = "mistakes/losses.rs"]
mod losses;
#[path = "mistakes/merge.rs"]
mod merge;
#[path = "mistakes/models.rs"]
mod models;
#[path = "mistakes/pairs.rs"]
mod pairs;
#[path = "mistakes/published.rs"]
mod published;
#[path = "mistakes/sweep.rs"]
mod sweep;

use std::fmt::Write as _;
use std::path::Path;

use common::{SPEC, World, render};
use r1x_spec::Style;

const BASE: &str = include_str!("base.yaml");

/// A published model with a chat template of its own.
const CHATTY: &str = "  from: models/tiny\n  tokenizer: {file: models/tiny/tokenizer.json, eos: <end>, chat_template: chat.jinja}\n";

/// A model whose chat template is looked for in vain.
const MISSPELT: &str = "  from: models/tiny\n  tokenizer: {file: models/tiny/tokenizer.json, eos: <end>, chat_template: chatt.jinja}\n";
/// Parts of the model that the base spec describes.
const MLA: &str =
    "mla: {heads: 4, kv_lora_rank: 32, qk_nope_head_dim: 32, qk_rope_head_dim: 16, v_head_dim: 32}";
const MOE: &str = "routed_experts: 8";

/// A file with more columns than the base spec lists.
const MANY: &str = "{\"question\": 1, \"nums\": [1], \"target\": 1}\n{}\n{}\n";

/// A last stage that makes data.
const HARVEST: (&str, &str) = (
    "evals:\n",
    "  - id: harvest\n    reject: {data: countdown.train, rewards: [equation], steps: 10, prompts_per_step: 8, samples: 4, \
     sampling: {max_tokens: 40}}\nevals:\n",
);

/// A mistake: what is replaced in the base spec, and what is set.
struct Case {
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    set: &'static [&'static str],
}

const fn edit(name: &'static str, edits: &'static [(&'static str, &'static str)]) -> Case {
    Case { name, edits, set: &[] }
}

const fn set(name: &'static str, set: &'static [&'static str]) -> Case {
    Case { name, edits: &[], set }
}

const CASES: &[Case] = &[
    edit("unknown key", &[("group_size", "group_szie")]),
    edit(
        "unknown key that is near nothing",
        &[("      lr: 3e-4", "      lr: 3e-4\n      wombat: 1")],
    ),
    edit("renamed key", &[("experts_per_token: 2", "experts_per_token: 2, normalize_gate: true")]),
    edit("missing key", &[("      steps: 400\n", "")]),
    edit("key without a value", &[("      steps: 400", "      steps:")]),
    edit("text for a number", &[("lr: 3e-4", "lr: fast")]),
    edit("fraction for a whole number", &[("steps: 400", "steps: 4e2")]),
    edit("number for a text", &[("prompt: \"{{ target }}\"", "prompt: 5")]),
    edit("list for a map", &[("{data: countdown}", "[countdown]")]),
    edit("negative learning rate", &[("lr: 3e-4", "lr: -1e-4")]),
    edit("infinite weight", &[("weight: 0.1", "weight: .inf")]),
    edit(
        "share above one",
        &[("{max_tokens: 40}\n      lr", "{max_tokens: 40, top_p: 1.5}\n      lr")],
    ),
    edit("beta of one", &[("lr: 3e-4", "lr: 3e-4\n      beta2: 1.0")]),
    edit("huge size", &[("hidden_size: 128", "hidden_size: 99999999999999999999")]),
    edit("negative seed", &[("name: countdown\nmodel", "name: countdown\nseed: -1\nmodel")]),
    edit("unknown word", &[("lr: 3e-4", "lr: 3e-4\n      aggregation: tokenmean")]),
    edit(
        "byte size without a unit",
        &[("countdown.wasm}", "countdown.wasm, limits: {memory_bytes: 256M}}")],
    ),
    edit("capability without a grant", &[("plugins/countdown.wasm}", "plugins/code.wasm}")]),
    edit(
        "capability that is none",
        &[("countdown.wasm}", "countdown.wasm, grant: [exec, files]}")],
    ),
    edit("yes for true", &[("evals:", "record: {text: yes}\nevals:")]),
    edit("name with a slash", &[("name: countdown", "name: count/down")]),
    edit(
        "several at once",
        &[
            ("group_size", "group_szie"),
            ("report: [pass@1, pass@8]", "report: [pass@1, pass@16]"),
            ("grade: equation", "grade: equations"),
            ("experts_per_token: 2", "experts_per_token: 9"),
        ],
    ),
    edit(
        "two kinds of stage",
        &[("  - id: rl\n    grpo", "  - id: rl\n    evaluate: {evals: [heldout]}\n    grpo")],
    ),
    edit(
        "no kind of stage",
        &[(
            "    sft: {data: countdown.train, limit: 4000, steps: 600, batch_size: 64, lr: 3e-3}\n",
            "",
        )],
    ),
    edit("misspelled kind of stage", &[("    grpo:", "    gpro:")]),
    edit(
        "weights of a stage below",
        &[("  - id: cold-start\n", "  - id: cold-start\n    weights: rl\n")],
    ),
    edit(
        "more experts than can be listed",
        &[("layers: 2", "layers: 4096"), ("routed_experts: 8", "routed_experts: 4096")],
    ),
    edit(
        "data of a stage below",
        &[
            ("    sft: {data: countdown.train, limit: 4000,", "    sft: {data: harvest.train,"),
            HARVEST,
        ],
    ),
    edit(
        "mistakes of a stage that makes data",
        &[
            (
                "  - id: rl\n",
                "  - id: countdown\n    reject: {data: [countdown.train, harvest.heldout], rewards: [format], steps: 9, \
                 prompts_per_step: 4, samples: 2, sampling: {temperature: 0, max_tokens: 8}, keep: {equation: 1, format: high}}\n  - id: rl\n",
            ),
            HARVEST,
        ],
    ),
    edit(
        "suite over the data of a stage",
        &[("data: countdown.heldout", "data: harvest.train"), HARVEST],
    ),
    edit("weights of no stage", &[("  - id: rl\n", "  - id: rl\n    weights: cold-strat\n")]),
    edit("stage with the name of the first weights", &[("- id: rl\n", "- id: base\n")]),
    edit(
        "a vocabulary without a tokenizer",
        &[("tokenizer: {data: countdown}", "vocabulary_size: 32000")],
    ),
    edit("fewer rows than tokens", &[("  layers: 2\n", "  layers: 2\n  vocabulary_size: 100\n")]),
    edit(
        "half of an odd head",
        &[(MLA, "gqa: {heads: 4, kv_heads: 2, head_dim: 32, rotary_dim: 15}")],
    ),
    edit(
        "more of a head than there is",
        &[(MLA, "gqa: {heads: 4, kv_heads: 2, head_dim: 32, rotary_dim: 64}")],
    ),
    edit(
        "a window of layers that are not there",
        &[(
            MLA,
            "gqa: {heads: 4, kv_heads: 2, head_dim: 32, window: {size: 16, layers: [0, 2, 5]}}",
        )],
    ),
    edit(
        "a window of no layer",
        &[(MLA, "gqa: {heads: 4, kv_heads: 2, head_dim: 32, window: {size: 16, layers: 0}}")],
    ),
    edit(
        "layers that are no numbers",
        &[(MLA, "gqa: {heads: 4, kv_heads: 2, head_dim: 32, window: {size: 16, layers: all}}")],
    ),
    edit(
        "a word for a norm",
        &[(MLA, "gqa: {heads: 4, kv_heads: 2, head_dim: 32, qk_norm: heads}")],
    ),
    edit(
        "Llama's waves the wrong way round",
        &[(
            "  layers: 2\n",
            "  layers: 2\n  rope_scaling:\n    llama3: {factor: 8, original_context: 32, low_freq_factor: 4}\n",
        )],
    ),
    edit(
        "YaRN that contradicts itself",
        &[(
            "  layers: 2\n",
            "  layers: 2\n  rope_theta: 1\n  rope_scaling:\n    yarn: {factor: 8, original_context: 32, beta_slow: 40, attention_factor: 1.2, mscale: 1}\n",
        )],
    ),
    edit(
        "YaRN with half of its scales",
        &[(
            "  layers: 2\n",
            "  layers: 2\n  rope_scaling:\n    yarn: {factor: 8, original_context: 32, mscale: 1}\n",
        )],
    ),
    edit(
        "two kinds of scaling",
        &[(
            "  layers: 2\n",
            "  layers: 2\n  rope_scaling: {linear: {factor: 2}, yarn: {factor: 8, original_context: 32}}\n",
        )],
    ),
    edit(
        "shared experts said twice",
        &[(MOE, "routed_experts: 8, shared_experts: 2, shared_intermediate_size: 64")],
    ),
    edit("a gate of nothing", &[(MOE, "routed_experts: 8, shared_experts: 0, shared_gate: true")]),
    edit(
        "a bias that moves and is not there",
        &[(MOE, "routed_experts: 8, selection_bias: false, bias_update_speed: 0.01")],
    ),
    edit(
        "dense layers that are not there",
        &[(MOE, "routed_experts: 8, dense_layers: [1, 1], dense_intermediate_size: 8")],
    ),
    edit(
        "more dense layers than layers",
        &[(MOE, "routed_experts: 8, dense_layers: 3, dense_intermediate_size: 8")],
    ),
    edit("a dense layer without a width", &[(MOE, "routed_experts: 8, dense_layers: [0]")]),
    edit(
        "a mark without an answer",
        &[("columns: [question]}", "columns: [question], answer_after: \"####\"}")],
    ),
    edit(
        "an empty mark",
        &[("columns: [question]}", "columns: [question], answer: question, answer_after: \"\"}")],
    ),
    edit(
        "two kinds of files",
        &[(
            "    jsonl: {path: rows.jsonl, columns: [question]}",
            "    jsonl: {path: rows.jsonl}\n    parquet: {path: rows.parquet}",
        )],
    ),
    edit("model without a shape", &[("  layers: 2\n", ""), ("  hidden_size: 128\n", "")]),
    edit("no stages", &[("stages:\n", "stages: []\nevals2:\n")]),
    edit("duplicate key", &[("      steps: 400", "      steps: 400\n      steps: 500")]),
    edit("duplicate id", &[("id: rl", "id: cold-start")]),
    edit("unknown data set", &[("      data: countdown.train", "      data: cuontdown.train")]),
    edit("unknown split", &[("      data: countdown.train", "      data: countdown.test")]),
    edit("unknown reward", &[("[format, equation]", "[format, equatoin]")]),
    edit("reward twice", &[("[format, equation]", "[format, format]")]),
    edit(
        "unknown eval",
        &[("evals:\n", "  - {id: last, evaluate: {evals: [held-out]}}\nevals:\n")],
    ),
    edit(
        "training on held-out problems",
        &[("      data: countdown.train", "      data: countdown.heldout")],
    ),
    edit("pass@k beyond the samples", &[("[pass@1, pass@8]", "[pass@1, pass@16]")]),
    edit("unknown figure", &[("[pass@1, pass@8]", "[maj@8]")]),
    edit("gate on what is not reported", &[("    grade:", "    gate: {pass@4: 0.5}\n    grade:")]),
    edit("gate that is no bound", &[("    grade:", "    gate: {pass@1: \"< 0.5\"}\n    grade:")]),
    edit("eval that never runs", &[("    grade:", "    when: {at: []}\n    grade:")]),
    edit(
        "greedy samples",
        &[(
            "    sampling: {max_tokens: 40}\n    grade",
            "    sampling: {max_tokens: 40, temperature: 0}\n    grade",
        )],
    ),
    edit("group of one", &[("group_size: 8", "group_size: 1")]),
    edit(
        "micro batch above the batch",
        &[("batch_size: 64", "batch_size: 64, micro_batch_size: 128")],
    ),
    edit("limit above the problems", &[("limit: 4000", "limit: 40000")]),
    edit("completion as long as the context", &[("context_length: 64", "context_length: 40")]),
    edit(
        "warm-up longer than the stage",
        &[("lr: 3e-4", "lr: 3e-4\n      schedule: {warmup_steps: 500}")],
    ),
    edit("weights all zero", &[("weight: 0.1", "weight: 0"), ("[format, equation]", "[format]")]),
    edit(
        "heads that do not divide",
        &[(
            "mla: {heads: 4, kv_lora_rank: 32, qk_nope_head_dim: 32, qk_rope_head_dim: 16, v_head_dim: 32}",
            "gqa: {heads: 4, kv_heads: 3, head_dim: 31}",
        )],
    ),
    edit("weight that is no weight", &[("weight: 0.1", "weight: {step: 0}")]),
    edit(
        "points out of order",
        &[("weight: 0.1", "weight: [{step: 10, weight: 1}, {step: 10, weight: 0}]")],
    ),
    edit("no points", &[("weight: 0.1", "weight: []")]),
    edit("point without a weight", &[("weight: 0.1", "weight: [{step: 10, wieght: 1}]")]),
    edit(
        "points and a schedule",
        &[("weight: 0.1", "weight: [{step: 0, weight: 1}], schedule: {kind: linear}")],
    ),
    edit(
        "weights all zero at every point",
        &[
            ("weight: 0.1", "weight: [{step: 0, weight: 0}, {step: 9, weight: 0}]"),
            ("[format, equation]", "[format]"),
        ],
    ),
    edit(
        "weight that warms up longer than the stage",
        &[("weight: 0.1", "schedule: {warmup_steps: 500}")],
    ),
    edit("bounds without room", &[("weight: 0.1", "clip: [1, 1]")]),
    edit("one bound", &[("weight: 0.1", "clip: [1]")]),
    edit(
        "condition on an unknown reward",
        &[("countdown.wasm}", "countdown.wasm, only_if: {reward: fromat, at_least: 1}}")],
    ),
    edit(
        "condition without a bound",
        &[("countdown.wasm}", "countdown.wasm, only_if: {reward: format}}")],
    ),
    edit(
        "condition on itself",
        &[("countdown.wasm}", "countdown.wasm, only_if: {reward: equation, at_least: 1}}")],
    ),
    edit(
        "conditions in a circle",
        &[
            ("weight: 0.1", "only_if: {reward: equation, at_least: 1}"),
            ("countdown.wasm}", "countdown.wasm, only_if: {reward: format, at_least: 1}}"),
        ],
    ),
    edit(
        "condition that is not scored",
        &[
            ("countdown.wasm}", "countdown.wasm, only_if: {reward: format, at_least: 1}}"),
            ("[format, equation]", "[equation]"),
        ],
    ),
    edit(
        "condition that cannot be met",
        &[
            ("weight: 0.1", "clip: [0, 0.5]"),
            ("countdown.wasm}", "countdown.wasm, only_if: {reward: format, at_least: 1}}"),
        ],
    ),
    edit(
        "grade whose deciding reward does not judge the data",
        &[
            ("weight: 0.1", "for: {data: [file]}"),
            ("countdown.wasm}", "countdown.wasm, only_if: {reward: format, at_least: 1}}"),
            ("[format, equation]", "[length]"),
            ("rewards:\n", "rewards:\n  length: {plugin: ../plugins/length.wasm}\n"),
        ],
    ),
    edit("for an unknown data set", &[("weight: 0.1", "for: {data: [cuontdown]}")]),
    edit("for nothing", &[("weight: 0.1", "for: {}")]),
    edit("for a column without values", &[("weight: 0.1", "for: {column: target}")]),
    edit(
        "for values of a column with none",
        &[("weight: 0.1", "for: {column: target, values: []}")],
    ),
    edit("for data of no stage", &[("countdown.wasm}", "countdown.wasm, for: {data: [file]}}")]),
    edit("for a column the data lacks", &[("weight: 0.1", "for: {column: kind, values: [a]}")]),
    edit(
        "data that no reward judges",
        &[
            ("weight: 0.1", "for: {data: [countdown]}"),
            ("countdown.wasm}", "countdown.wasm, for: {data: [countdown]}}"),
            ("      data: countdown.train", "      data: [countdown.train, file.train]"),
        ],
    ),
    edit(
        "column that one of several data sets lacks",
        &[("      data: countdown.train", "      data: [countdown.train, file.train]")],
    ),
    edit(
        "limit of several data sets",
        &[
            ("countdown.wasm}", "countdown.wasm, for: {data: [countdown]}}"),
            (
                "      data: countdown.train",
                "      data: [countdown.train, file.train]\n      limit: 10",
            ),
        ],
    ),
    edit(
        "data set twice",
        &[("      data: countdown.train", "      data: [countdown.train, countdown.train]")],
    ),
    edit("no data set", &[("      data: countdown.train", "      data: []")]),
    edit(
        "clipped totals that are not compared",
        &[(
            "lr: 3e-4",
            "lr: 3e-4\n      advantage: {combine: normalize_then_sum, clip_total: [0, 1]}",
        )],
    ),
    edit("odd rotary width", &[("qk_rope_head_dim: 16", "qk_rope_head_dim: 15")]),
    edit(
        "groups that do not divide",
        &[("experts_per_token: 2", "experts_per_token: 2, groups: 3")],
    ),
    edit(
        "experts beyond the groups",
        &[("experts_per_token: 2", "experts_per_token: 3, groups: 4, groups_per_token: 1")],
    ),
    edit(
        "dense layers without a width",
        &[("experts_per_token: 2", "experts_per_token: 2, dense_layers: 3")],
    ),
    edit("eos without a file", &[("{data: countdown}", "{data: countdown, eos: \"</s>\"}")]),
    edit(
        "vocabulary with a piece twice",
        &[("{data: countdown}", "{vocabulary: [a, b, a, \"\"]}")],
    ),
    edit("vocabulary with a blank", &[("{data: countdown}", "{vocabulary: [a, \"b c\"]}")]),
    edit("step beyond the data", &[("prompts_per_step: 32", "prompts_per_step: 20001")]),
    edit(
        "step beyond what is left of the data",
        &[("prompts_per_step: 32", "prompts_per_step: 11\n      skip: 19990")],
    ),
    edit("batch beyond the limit", &[("limit: 4000", "limit: 63")]),
    edit("columns that are neither list nor map", &[("[question]", "question")]),
    edit("column with two names in the file", &[("[question]", "{question: [q, text]}")]),
    edit("column twice", &[("[question]", "[question, question]")]),
    edit(
        "column that is not listed",
        &[
            ("rows.jsonl", "many.jsonl"),
            ("      data: countdown.train", "      data: file.train"),
            ("      prompts_per_step: 32", "      prompts_per_step: 3"),
        ],
    ),
    edit(
        "step beyond the rows of a file",
        &[
            ("path: rows.jsonl, columns: [question]", "path: many.jsonl"),
            ("      data: countdown.train", "      data: file.train"),
        ],
    ),
    edit("data without a vocabulary", &[("{data: countdown}", "{data: file}")]),
    edit(
        "messages without a chat template",
        &[("    prompt: \"{{ target }}\"", "    messages: {user: \"{{ target }}\"}")],
    ),
    edit(
        "messages beside a prompt",
        &[("    prompt: \"{{ target }}\"", "    prompt: x\n    messages: {user: y}")],
    ),
    edit(
        "messages that ask nothing",
        &[("    prompt: \"{{ target }}\"", "    messages: {system: \"{{ target }}\"}")],
    ),
    edit(
        "messages with a message that is empty",
        &[
            (published::MODEL, CHATTY),
            ("    prompt: \"{{ target }}\"", "    messages: {user: \" \"}"),
        ],
    ),
    edit(
        "chat template beside words",
        &[("{data: countdown}", "{data: countdown, chat_template: chat.jinja}")],
    ),
    edit("chat template that is missing", &[(published::MODEL, MISSPELT)]),
    edit(
        "published chat template that cannot be used",
        &[
            (published::MODEL, "  from: models/broken\n"),
            ("    prompt: \"{{ target }}\"", "    messages: {user: \"{{ target }}\"}"),
        ],
    ),
    edit(
        "data without solutions",
        &[("sft: {data: countdown.train, limit: 4000", "sft: {data: file.train")],
    ),
    edit(
        "column the data lacks",
        &[
            ("      data: countdown.train", "      data: file.train"),
            ("data: countdown.heldout", "data: file.heldout"),
        ],
    ),
    edit("missing plugin", &[("countdown.wasm", "coundown.wasm")]),
    edit("plugin that is no component", &[("../plugins/countdown.wasm", "rows.jsonl")]),
    edit("refused configuration", &[("countdown.wasm}", "countdown.wasm, with: {refuse: 1}}")]),
    edit("missing data file", &[("rows.jsonl", "row.jsonl")]),
    edit("missing tokenizer", &[("{data: countdown}", "{file: tokenizer.json}")]),
    edit("newer version", &[("r1x: 1", "r1x: 2")]),
    edit("tab", &[("  hidden_size", "\thidden_size")]),
    edit("open bracket", &[("[format, equation]", "[format, equation")]),
    edit("unquoted template", &[("\"{{ target }}\"", "{{ target }}")]),
    edit("anchor", &[("{data: countdown}", "&t {data: countdown}")]),
    edit("alias", &[("{data: countdown}", "*t")]),
    edit("tag", &[("name: countdown", "name: !!str countdown")]),
    edit("two documents", &[("data:\n", "---\ndata:\n")]),
    edit("missing parent", &[("name:", "extends: basis.yaml\nname:")]),
    edit("circle", &[("name:", "extends: ./spec.yaml\nname:")]),
    edit("inside the extended file", &[(BASE, "r1x: 1\nextends: broken.yaml\nseed: two\n")]),
    edit(
        "dropping what is not there",
        &[(BASE, "r1x: 1\nextends: ok.yaml\nstages:\n  - {id: rll, drop: true}\n")],
    ),
    edit("empty file", &[(BASE, "# nothing\n")]),
    edit("not a map", &[(BASE, "- a\n")]),
    set("set without a value", &["seed"]),
    set("set an unknown key", &["stages.rl.grpo.lr_rate=1"]),
    set("set a renamed key", &["model.feed_forward.moe.normalize_gate=false"]),
    set("set an unknown id", &["stages.rk.grpo.lr=1"]),
    set("set inside an unknown reward", &["rewards.equatin.weight=1"]),
    set("set another alternative", &["model.attention.gqa.heads=2"]),
    set("set below a value", &["seed.x=1"]),
    set("set a wrong type", &["stages.rl.grpo.lr=fast", "seed=2"]),
    set("set what is not YAML", &["tags=[a"]),
    set("set another version", &["r1x=2"]),
    set("set extends", &["extends=x.yaml"]),
    set("set an empty map", &["stages.rl.grpo.sampling={}"]),
    edit(
        "temperature near 0",
        &[("{max_tokens: 40}\n      lr", "{max_tokens: 40, temperature: 1e-40}\n      lr")],
    ),
];

#[test]
fn every_mistake_has_its_message() {
    let mut text = String::new();
    let cases = [
        CASES,
        published::CASES,
        models::CASES,
        pairs::CASES,
        critic::CASES,
        distill::CASES,
        data::CASES,
        losses::CASES,
        merge::CASES,
        sweep::CASES,
    ];
    for case in cases.into_iter().flatten() {
        let mut spec = BASE.to_owned();
        for (from, to) in case.edits {
            assert!(spec.contains(from), "{}: the base spec has no {from:?}", case.name);
            spec = spec.replacen(from, to, 1);
        }
        let world = World::new()
            .with(SPEC, &spec)
            .with("experiments/ok.yaml", BASE)
            .with("experiments/broken.yaml", &BASE.replace("lr: 3e-4", "lr: [1]"))
            .with("experiments/many.jsonl", MANY)
            .with("experiments/rows.jsonl", "{}")
            .with("experiments/earlier/state.json", "2")
            .with("experiments/chat.jinja", "{{ messages }}");
        let report = world.runs(case.set).err();
        let report = report.unwrap_or_else(|| panic!("{} is accepted", case.name));
        assert!(!report.diagnostics.is_empty(), "{} has no message", case.name);
        for diagnostic in &report.diagnostics {
            assert!(r1x_spec::explain(diagnostic.code).is_some(), "{}", diagnostic.code);
        }
        let arguments: String = case.set.iter().map(|set| format!(" --set {set}")).collect();
        let class = report.class();
        let _ = writeln!(text, "## {}{arguments} ({class:?})\n\n{}", case.name, render(&report));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes.txt");
    if std::env::var_os("R1X_BLESS").is_some() {
        std::fs::write(&path, &text).expect("tests/mistakes.txt can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = text.lines().zip(expected.lines()).find(|(now, then)| now != then);
    assert_eq!(difference, None, "R1X_BLESS=1 rewrites tests/mistakes.txt");
    assert_eq!(text.lines().count(), expected.lines().count());
}

#[test]
fn messages_can_be_plain_coloured_or_json() {
    let world = World::new().with(SPEC, &BASE.replace("lr: 3e-4", "lr: fast"));
    let report = world.with("experiments/rows.jsonl", "{}").resolve(&[]).expect_err("a mistake");
    let plain = report.render(Style { unicode: false, color: false, width: None });
    assert!(plain.is_ascii(), "{plain}");
    assert!(plain.contains("--> experiments/spec.yaml:33:11"), "{plain}");
    let coloured = report.render(Style { unicode: false, color: true, width: None });
    assert!(coloured.contains("\x1b[1;31merror[R1X0105]\x1b[0m"), "{coloured}");
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["diagnostics"][0]["at"]["line"], 33);
    assert_eq!(json["diagnostics"][0]["class"], "spec");
}

#[test]
fn the_base_spec_itself_is_right() {
    let world = World::new().with(SPEC, BASE).with("experiments/rows.jsonl", "{}");
    if let Err(report) = world.resolve(&[]) {
        panic!("{}", render(&report));
    }
}

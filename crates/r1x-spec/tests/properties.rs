//! Specs with values drawn from their ranges, written in different ways: each is valid, and its plan says what it says.
//!
//! Must not check defaults; `resolve.rs` does.

mod common;

use common::{SPEC, World, render};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use r1x_core::plan::*;
use serde_json::{Map, Value as Json, json};

/// Text without what YAML or a terminal would take for more than text.
fn text() -> impl Strategy<Value = String> {
    let printable = any::<char>().prop_filter("printable", |c| {
        !c.is_control()
            && !matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
    });
    vec(printable, 1..8).prop_map(String::from_iter)
}

fn name() -> impl Strategy<Value = String> {
    vec(select(&['a', 'Z', '0', '7', '-', '_'][..]), 0..8)
        .prop_map(|rest| format!("n{}", String::from_iter(rest)))
}

fn model() -> impl Strategy<Value = Json> {
    let attention = (1..9_usize, 1..5_usize, 1..65_usize).prop_map(|(kv_heads, times, half)| {
        json!({"gqa": {"heads": kv_heads * times, "kv_heads": kv_heads, "head_dim": 2 * half}})
    });
    (
        (1..4_097_usize, 1..41_usize, 64..4_097_usize, 1..4_097_usize),
        attention,
        any::<bool>(),
        (1.0..1e6, 1e-9..1e-3, 1e-4..1.0),
        select(&["f32", "bf16"][..]),
    )
        .prop_map(|(sizes, attention, tied, numbers, precision)| {
            json!({
                "tokenizer": {"data": "countdown"},
                "hidden_size": sizes.0,
                "layers": sizes.1,
                "context_length": sizes.2,
                "attention": attention,
                "feed_forward": {"dense": {"intermediate_size": sizes.3}},
                "tie_embeddings": tied,
                "rope_theta": numbers.0,
                "norm_eps": numbers.1,
                "init_std": numbers.2,
                "precision": precision,
            })
        })
}

fn sampling() -> impl Strategy<Value = Json> {
    (0.01..100.0, 0..50_usize, 0.001..1.0, 0.0..0.99, 1..33_usize).prop_map(
        |(temperature, top_k, top_p, min_p, max_tokens)| {
            json!({
                "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p,
                "max_tokens": max_tokens,
            })
        },
    )
}

fn stages() -> impl Strategy<Value = Json> {
    let sft = (1..1_000_u64, 1..65_usize, 1e-6..1.0, 64..900_usize).prop_map(
        |(steps, batch_size, lr, limit)| {
            json!({"id": "first", "sft": {
                "data": "countdown.train", "limit": limit, "steps": steps, "batch_size": batch_size, "lr": lr,
            }})
        },
    );
    let grpo = (
        (1..1_000_u64, 1..65_usize, 2..17_usize, 1e-6..1.0),
        sampling(),
        (0.0..1.0, 0.0..10.0, 0.001..2.0),
        select(&["sequence_mean", "token_mean", "fixed_length"][..]),
        select(&["keep", "mask"][..]),
    )
        .prop_map(|(sizes, sampling, (low, high, coef), aggregation, truncated)| {
            json!({"id": "second", "grpo": {
                "data": "countdown.train", "rewards": ["equation"], "steps": sizes.0,
                "prompts_per_step": sizes.1, "group_size": sizes.2, "lr": sizes.3, "sampling": sampling,
                "clip": {"low": low, "high": high}, "kl": {"coef": coef}, "aggregation": aggregation,
                "truncated": truncated,
            }})
        });
    (sft, grpo).prop_map(|(sft, grpo)| json!([sft, grpo]))
}

fn spec() -> impl Strategy<Value = Json> {
    let reward = (0.01..5.0, 0.0..1.0, 1..3_600_000_u64, 1..4_097_u64).prop_map(
        |(weight, share, time_ms, mebibytes)| {
            json!({
                "plugin": "../plugins/countdown.wasm", "weight": weight, "max_failed_share": share,
                "limits": {"time_ms": time_ms, "memory_bytes": format!("{mebibytes}MiB")},
            })
        },
    );
    let countdown = ((1..50_u32, 50..1_000_u32), 1_000..20_000_usize, any::<u64>()).prop_map(
        |((low, high), train, seed)| {
            json!({
                "countdown": {
                    "count": [3, 4], "numbers": [low, high], "target": [1, high], "train": train, "heldout": 100,
                    "seed": seed,
                },
                "prompt": "{{ nums | join(' ') }} -> {{ target }}",
            })
        },
    );
    (name(), any::<u64>(), vec(text(), 0..3), model(), countdown, reward, stages()).prop_map(
        |(name, seed, tags, model, countdown, reward, stages)| {
            json!({
                "r1x": 1, "name": name, "seed": seed, "tags": tags, "model": model,
                "data": {"countdown": countdown}, "rewards": {"equation": reward}, "stages": stages,
            })
        },
    )
}

/// Writes a value as YAML: each map and list over several lines or in brackets, with its keys in any order.
struct Writer {
    /// What is drawn for each choice, again and again.
    choices: Vec<usize>,
    made: usize,
    text: String,
}

impl Writer {
    fn choose(&mut self, below: usize) -> usize {
        self.made += 1;
        self.choices[self.made % self.choices.len()] % below
    }

    /// Writes what stands behind a key or a dash, line end included.
    fn value(&mut self, value: &Json, depth: usize) {
        match value {
            Json::Object(map) if !map.is_empty() && self.choose(3) > 0 => {
                self.text.push('\n');
                self.map(map, depth + 1);
            }
            Json::Array(list) if !list.is_empty() && self.choose(3) > 0 => {
                self.text.push('\n');
                for item in list {
                    self.text.push_str(&"  ".repeat(depth + 1));
                    self.text.push('-');
                    self.value(item, depth + 1);
                }
            }
            _ => self.text.push_str(&format!(" {value}\n")),
        }
    }

    fn map(&mut self, map: &Map<String, Json>, depth: usize) {
        let first = self.choose(map.len());
        for (key, value) in map.iter().cycle().skip(first).take(map.len()) {
            if self.choose(8) == 0 {
                self.text.push_str("# a remark\n");
            }
            self.text.push_str(&format!("{}{key}:", "  ".repeat(depth)));
            self.value(value, depth);
        }
    }
}

/// The number at a path, which is the same number in the plan.
fn number(spec: &Json, path: &str) -> f64 {
    spec.pointer(path).and_then(Json::as_f64).unwrap_or_else(|| panic!("no number at {path}"))
}

fn count(spec: &Json, path: &str) -> u64 {
    spec.pointer(path).and_then(Json::as_u64).unwrap_or_else(|| panic!("no count at {path}"))
}

fn assert_model(plan: &ModelPlan, spec: &Json) {
    let AttentionPlan::Gqa(GqaPlan { heads, kv_heads, head_dim, .. }) = plan.attention else {
        panic!("{plan:?}")
    };
    let FeedForwardPlan::Dense { intermediate_size, bias: false } = plan.feed_forward else {
        panic!("{plan:?}")
    };
    for (found, path) in [
        (plan.hidden_size, "/model/hidden_size"),
        (plan.layers, "/model/layers"),
        (plan.context_length, "/model/context_length"),
        (heads, "/model/attention/gqa/heads"),
        (kv_heads, "/model/attention/gqa/kv_heads"),
        (head_dim, "/model/attention/gqa/head_dim"),
        (intermediate_size, "/model/feed_forward/dense/intermediate_size"),
    ] {
        assert_eq!(found as u64, count(spec, path), "{path}");
    }
    for (found, path) in [
        (plan.rope.theta, "/model/rope_theta"),
        (plan.norm_eps, "/model/norm_eps"),
        (plan.init_std, "/model/init_std"),
    ] {
        assert_eq!(found, number(spec, path), "{path}");
    }
    assert_eq!(json!(plan.tie_embeddings), spec["model"]["tie_embeddings"]);
    assert_eq!(json!(plan.precision), spec["model"]["precision"]);
}

fn assert_stages(plan: &RunPlan, spec: &Json) {
    let [
        StagePlan { kind: StageKind::Sft(sft), .. },
        StagePlan { kind: StageKind::Grpo(grpo), .. },
    ] = &plan.stages[..]
    else {
        panic!("{:?}", plan.stages)
    };
    let LossPlan::Surrogate(loss) = &grpo.loss else { panic!("{:?}", grpo.loss) };
    let ClipPlan::Pessimistic(bounds) = &loss.clip else { panic!("{loss:?}") };
    for (found, path) in [
        (sft.steps, "/stages/0/sft/steps"),
        (sft.batch_size as u64, "/stages/0/sft/batch_size"),
        (sft.data[0].limit.unwrap_or_default() as u64, "/stages/0/sft/limit"),
        (grpo.steps, "/stages/1/grpo/steps"),
        (grpo.prompts_per_step as u64, "/stages/1/grpo/prompts_per_step"),
        (grpo.group_size as u64, "/stages/1/grpo/group_size"),
        (grpo.sampling.top_k as u64, "/stages/1/grpo/sampling/top_k"),
        (grpo.sampling.max_tokens as u64, "/stages/1/grpo/sampling/max_tokens"),
    ] {
        assert_eq!(found, count(spec, path), "{path}");
    }
    for (found, path) in [
        (sft.optimizer.lr, "/stages/0/sft/lr"),
        (grpo.optimizer.lr, "/stages/1/grpo/lr"),
        (grpo.sampling.temperature, "/stages/1/grpo/sampling/temperature"),
        (grpo.sampling.top_p, "/stages/1/grpo/sampling/top_p"),
        (grpo.sampling.min_p, "/stages/1/grpo/sampling/min_p"),
        (bounds.low, "/stages/1/grpo/clip/low"),
        (bounds.high, "/stages/1/grpo/clip/high"),
        (loss.kl.coef, "/stages/1/grpo/kl/coef"),
    ] {
        assert_eq!(found, number(spec, path), "{path}");
    }
    assert_eq!(json!(loss.aggregation), spec["stages"][1]["grpo"]["aggregation"]);
    assert_eq!(json!(grpo.truncated), spec["stages"][1]["grpo"]["truncated"]);
}

proptest! {
    #[test]
    fn a_spec_becomes_the_plan_it_says(spec in spec(), choices in vec(any::<usize>(), 7..40)) {
        let mut writer = Writer { choices, made: 0, text: String::new() };
        writer.map(spec.as_object().unwrap(), 0);
        let resolved = World::new().with(SPEC, &writer.text).resolve(&[]);
        let plan = match resolved {
            Ok(resolved) => resolved.plan,
            Err(report) => panic!("{}\n{}", render(&report), writer.text),
        };
        prop_assert_eq!(&json!(plan.name), &spec["name"]);
        prop_assert_eq!(&json!(plan.seed), &spec["seed"]);
        prop_assert_eq!(&json!(plan.tags), &spec["tags"]);
        let SourcePlan::Countdown(countdown) = &plan.data["countdown"].source else {
            panic!("{:?}", plan.data)
        };
        let written = &spec["data"]["countdown"]["countdown"];
        prop_assert_eq!(&json!([countdown.min_number, countdown.max_number]), &written["numbers"]);
        prop_assert_eq!(&json!([countdown.min_target, countdown.max_target]), &written["target"]);
        prop_assert_eq!(&json!([countdown.train, countdown.seed]), &json!([written["train"], written["seed"]]));
        let (reward, written) = (&plan.rewards[0], &spec["rewards"]["equation"]);
        prop_assert_eq!(&json!(reward.weight), &written["weight"]);
        prop_assert_eq!(&json!(reward.max_failed_share), &written["max_failed_share"]);
        prop_assert_eq!(&json!(reward.plugin().unwrap().limits.time_ms), &written["limits"]["time_ms"]);
        let memory = json!(format!("{}MiB", reward.plugin().unwrap().limits.memory_bytes >> 20));
        prop_assert_eq!(&memory, &written["limits"]["memory_bytes"]);
        assert_model(&plan.model, &spec);
        assert_stages(&plan, &spec);
    }
}

//! Plans of earlier versions are read as what they meant, and nothing that a plan must say may be left out.

use serde_json::{Value, json};

use super::*;
use crate::plan::{FeedForwardPlan, RowFormat, SourcePlan, StageKind};

/// Plans that r1x wrote before they had a version: of the main experiment, and of one with shaped rewards.
const VERSION_1: [&str; 2] = [include_str!("1-countdown.json"), include_str!("1-shaped.json")];

/// Plans of the same two experiments that r1x wrote in version 2.
const VERSION_2: [&str; 2] = [include_str!("2-countdown.json"), include_str!("2-shaped.json")];

/// A plan whose tokenizers, where they are files, have 77 tokens.
fn read(text: &str) -> Result<RunPlan, PlanError> {
    RunPlan::from_json(text, &|_| Ok(77))
}

/// Data sets as they were written when every prompt was a text.
fn with_bare_prompts(mut data: Value) -> Value {
    for set in values(&mut data) {
        let prompt = set["prompt"]["text"].take();
        assert!(prompt.is_string(), "{set}");
        set["prompt"] = prompt;
    }
    data
}

/// A model of an earlier version means what today's words say of it.
fn assert_same_model(old: &Value, new: &Value) {
    let pieces = new["tokenizer"]["vocabulary"]["pieces"].as_array().unwrap().len();
    assert_eq!(new["vocabulary_size"], json!(pieces + 1));
    assert_eq!((&new["initial"], &new["mtp"]), (&json!("random"), &Value::Null));
    assert_eq!(new["head"], json!("vocabulary"));
    let rope = json!({"theta": old["rope_theta"], "pairs": "neighbours", "scaling": "none"});
    assert_eq!(new["rope"], rope);
    let mut compared = 0;
    let mut same = |old: &Value, new: &Value, moved: &[&str]| {
        for (key, value) in old.as_object().unwrap() {
            if !moved.contains(&key.as_str()) {
                assert_eq!(new[key], *value, "{key}");
                compared += 1;
            }
        }
    };
    same(old, new, &["rope_theta", "attention", "feed_forward"]);
    same(&old["attention"]["mla"], &new["attention"]["mla"], &[]);
    let [was, is] = [old, new].map(|model| &model["feed_forward"]["moe"]);
    let moved = ["shared_experts", "dense_layers", "normalize_gate", "normalize_affinities"];
    same(was, is, &moved);
    assert_eq!(compared, 24);
    assert_eq!(is["shared_intermediate_size"], was["expert_intermediate_size"]);
    assert_eq!((&was["shared_experts"], &is["dense_layers"]), (&json!(1), &json!([])));
}

/// A plan without the parts of its data sets in mixtures, which there are none of.
fn unmixed(mut plan: Value) -> Value {
    if let Value::Object(map) = &mut plan
        && map.contains_key("split")
    {
        assert_eq!(map.remove("parts"), Some(Value::Null));
    }
    for value in values(&mut plan) {
        *value = unmixed(value.take());
    }
    plan
}

#[test]
fn plans_of_version_1_are_read_and_written_as_today() {
    for text in VERSION_1 {
        let plan = read(text).unwrap();
        let written = serde_json::to_string(&plan).unwrap();
        assert!(written.starts_with(r#"{"version":3,"#), "{written}");
        assert_eq!(read(&written).unwrap(), plan);
        // Everything the old plan said is still said: nothing but what is new was changed.
        let (old, new): (Value, Value) =
            (serde_json::from_str(text).unwrap(), serde_json::from_str(&written).unwrap());
        let new = unmixed(new);
        for key in ["name", "seed", "tags", "evals", "record", "checkpoints"] {
            assert_eq!(old[key], new[key], "{key}");
        }
        assert_eq!(old["data"], with_bare_prompts(new["data"].clone()));
        assert_same_model(&old["model"], &new["model"]);
    }
}

#[test]
fn plans_of_version_2_say_the_same_in_the_words_of_today() {
    for (text, conditions) in VERSION_2.into_iter().zip([0, 1]) {
        let plan = read(text).unwrap();
        let old: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            (&old["version"], old.to_string().matches("normalize_gate").count()),
            (&json!(2), 1)
        );
        let FeedForwardPlan::Moe(mixture) = &plan.model.feed_forward else { panic!("a mixture") };
        assert!(mixture.normalize_affinities);
        let decided = plan.rewards.iter().filter_map(|reward| reward.shaping.condition.as_ref());
        assert_eq!(decided.filter(|condition| condition.reward == "format").count(), conditions);
        // Nothing but the two words, the number, the words of models and losses, the kind of prompts, one list and the
        // models of stages was changed.
        let written = serde_json::to_string(&plan).unwrap();
        let mut new: Value = unmixed(serde_json::from_str(&written).unwrap());
        let mixture = new.pointer_mut("/model/feed_forward/moe");
        rename(mixture, "normalize_affinities", "normalize_gate");
        for reward in new.get_mut("rewards").into_iter().flat_map(values) {
            rename(reward.get_mut("shaping"), "condition", "gate");
        }
        assert_eq!(new.as_object_mut().unwrap().remove("models"), Some(json!({})));
        let forever = json!({"text": null, "tokens": null, "logprobs": null});
        assert_eq!(new.as_object_mut().unwrap().remove("retention"), Some(forever));
        for stage in new.get_mut("stages").into_iter().flat_map(values) {
            assert_eq!(stage.as_object_mut().unwrap().remove("model"), Some(Value::Null));
            if let Some(data) = stage.pointer_mut("/kind/sft/data") {
                *data = data[0].take();
            }
            if let Some(grpo) = stage.pointer_mut("/kind/grpo") {
                assert_eq!(grpo.as_object_mut().unwrap().remove("critic"), Some(Value::Null));
                let share = grpo.as_object_mut().unwrap().remove("top_entropy_share");
                assert_eq!(share, Some(json!(1.0)));
            }
            if let Some(loss) = stage.pointer_mut("/kind/grpo/loss/surrogate") {
                let loss = loss.as_object_mut().unwrap();
                assert_eq!(loss.remove("ratio"), Some(json!("token")));
                assert_eq!(loss.remove("entropy_coef"), Some(json!(0.0)));
                assert_eq!(loss.remove("max_divergence"), Some(Value::Null));
                loss["clip"] = loss["clip"]["pessimistic"].take();
                let kl = loss["kl"].as_object_mut().unwrap();
                assert_eq!(kl.remove("counted_in"), Some(json!("loss")));
                assert_eq!(kl.remove("refresh_mix"), Some(json!(1.0)));
            }
        }
        new["version"] = json!(2);
        new["data"] = with_bare_prompts(new["data"].take());
        let (mut old, model) = (old, new["model"].take());
        assert_same_model(&old["model"].take(), &model);
        assert_eq!(new, old);
    }
}

/// Rows, prompts and lists of data that have the form of today already stay what they are.
#[test]
fn data_of_version_2_is_brought_up_to_date_once() {
    let old =
        json!({"path": "a.jsonl", "sha256": "0", "heldout": 0.5, "columns": null, "answer": "a"});
    let mut data = json!({"source": {"jsonl": old}, "prompt": "{{ q }}"});
    let mut stage = json!({"kind": {"sft": {"data": {"data": "rows", "split": "train"}}}});
    let bounds = json!({"low": 0.1, "high": 0.3, "max_ratio": null});
    let mut learns = json!({"kind": {"grpo": {"loss": {"surrogate": {"clip": bounds}}}}});
    for _ in 0..2 {
        loss_from_2(&mut learns);
        let clip = json!({"pessimistic": bounds});
        let loss = json!({
            "ratio": "token", "clip": clip, "max_divergence": null, "entropy_coef": 0.0
        });
        assert_eq!(learns["kind"]["grpo"]["loss"]["surrogate"], loss);
        sft_from_2(&mut stage);
        prompt_from_2(&mut data);
        rows_from_2(&mut data);
        assert_eq!(data["prompt"], json!({"text": "{{ q }}"}));
        let file = &data["source"]["rows"];
        assert_eq!((&file["format"], &file["answer"]), (&json!("json_lines"), &json!("a")));
        for key in ["answer_after", "rejected"] {
            assert_eq!(file.get(key), Some(&Value::Null), "{key}");
        }
        assert_eq!(stage["kind"]["sft"]["data"], json!([{"data": "rows", "split": "train"}]));
    }
    let mut of_today = json!({
        "source": {"rows": {"format": "parquet", "answer_after": "####", "rejected": "worse"}},
        "prompt": {"messages": {"system": null, "user": "u", "prefill": null}},
    });
    let before = of_today.clone();
    prompt_from_2(&mut of_today);
    rows_from_2(&mut of_today);
    assert_eq!(of_today, before);
}

/// Version 2 knew one file of JSON lines, whose answers are a column as a whole; a number of dense layers that no spec
/// could write is not made a list of.
#[test]
fn files_of_version_2_are_lines_and_its_dense_layers_have_an_end() {
    let mut old: Value = serde_json::from_str(VERSION_2[0]).unwrap();
    let file = json!({
        "path": "rows.jsonl", "sha256": "aa", "heldout": 0.1, "columns": null, "renamed": {}, "solution": "s",
        "answer": "a",
    });
    old["data"]["rows"] = json!({"source": {"jsonl": file}, "prompt": "{{ q }}"});
    old["model"]["feed_forward"]["moe"]["dense_layers"] = json!(1_000_000_000_000_u64);
    let plan = read(&old.to_string()).unwrap();
    let SourcePlan::Rows { format, answer, answer_after, rejected, .. } = &plan.data["rows"].source
    else {
        panic!("a file")
    };
    assert_eq!((*format, answer.as_deref()), (RowFormat::JsonLines, Some("a")));
    assert_eq!((answer_after, rejected), (&None, &None));
    let FeedForwardPlan::Moe(mixture) = &plan.model.feed_forward else { panic!("a mixture") };
    assert_eq!(mixture.dense_layers.len(), 4096);
}

#[test]
fn the_models_of_judges_are_brought_up_to_date_too() {
    let mut old: Value = serde_json::from_str(VERSION_2[0]).unwrap();
    let judge = json!({"checkpoint": "frozen", "sha256": "00", "model": old["model"].clone()});
    old["judges"]["wise"] = judge;
    let plan = read(&old.to_string()).unwrap();
    assert_eq!(plan.judges["wise"].model, plan.model);
}

#[test]
fn what_version_1_left_out_means_what_it_meant() {
    let mut old: Value = serde_json::from_str(VERSION_1[0]).unwrap();
    let grpo = old["stages"][1]["kind"]["grpo"].as_object_mut().unwrap();
    let first = grpo["data"].clone();
    let mut second = first.clone();
    second["data"] = json!("more");
    grpo.insert("mixed".to_owned(), json!([second]));
    let plan = read(&old.to_string()).unwrap();
    let StageKind::Grpo(grpo) = &plan.stages[1].kind else { panic!("the second stage is GRPO") };
    let named: Vec<&str> = grpo.data.iter().map(|data| data.data.as_str()).collect();
    assert_eq!(named, [first["data"].as_str().unwrap(), "more"]);
    assert!(grpo.advantage.combine.is_plain());
    assert!(plan.judges.is_empty());
    for reward in &plan.rewards {
        assert!(reward.shaping.is_plain() && reward.plugin().unwrap().grant.is_empty());
        assert_eq!(reward.plugin().unwrap().limits.fuel, None);
    }
    for reward in old["rewards"].as_array_mut().unwrap() {
        reward.as_object_mut().unwrap().remove("max_failed_share");
    }
    let plan = read(&old.to_string()).unwrap();
    assert!(plan.rewards.iter().all(|reward| reward.max_failed_share == 1.0));
}

#[test]
fn a_plan_of_today_leaves_nothing_out() {
    let plan = read(VERSION_1[1]).unwrap();
    let whole = serde_json::to_value(&plan).unwrap();
    let mut left_out = 0;
    for path in paths(&whole) {
        let mut torn = whole.clone();
        let (parent, key) = path.rsplit_once('/').unwrap();
        let object = torn.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        object.remove(key).unwrap();
        // What is absent may be an entry of a table, whose keys the user chose; anything else is missed.
        let table = ["/data", "/judges"].contains(&parent) || parent.ends_with("/gate");
        let read = read(&torn.to_string());
        assert!(table || read.is_err(), "a plan without {path} was read");
        left_out += 1;
    }
    assert!(left_out > 150, "{left_out} keys");
    let mut torn = whole;
    torn["rewards"][1]["judged_by"]["plugin"]["limits"].as_object_mut().unwrap().remove("fuel");
    let error = read(&torn.to_string()).unwrap_err().to_string();
    assert_eq!(error, "it lacks `rewards.1.judged_by.plugin.limits.fuel`");
}

/// JSON pointers to every key below a value.
fn paths(value: &Value) -> Vec<String> {
    let inner = |(key, value): (String, &Value)| {
        let below = paths(value).into_iter().map(|rest| format!("/{key}{rest}"));
        below.collect::<Vec<_>>()
    };
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| {
                let mut all = inner((key.clone(), value));
                all.push(format!("/{key}"));
                all
            })
            .collect(),
        Value::Array(values) => {
            let numbered = values.iter().enumerate().map(|(at, value)| (at.to_string(), value));
            numbered.flat_map(inner).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn plans_of_other_versions_and_things_that_are_no_plan_are_refused_in_words() {
    let told = |text: &str| read(text).unwrap_err().to_string();
    let newer = told(r#"{"version": 4}"#);
    assert_eq!(newer, "it has version 4, and this r1x reads the versions 1 to 3");
    assert!(told(r#"{"version": "two"}"#).contains("invalid type: string \"two\""));
    assert!(told(r#"{"version": 0}"#).contains("version 0 instead of 3"));
    for text in [
        "",
        "[]",
        "3",
        "{}",
        "null",
        r#"{"version": 2}"#,
        r#"{"version": 3}"#,
        r#"{"stages": 7, "data": [3]}"#,
    ] {
        read(text).unwrap_err();
    }
}

#[test]
fn a_tokenizer_of_version_2_is_asked_how_large_its_vocabulary_is() {
    let mut old = serde_json::to_value(read(VERSION_1[0]).unwrap()).unwrap();
    old["version"] = json!(2);
    let file = json!({"file": {"path": "a/tokenizer.json", "sha256": "00", "eos": "<end>"}});
    let judge = json!({"checkpoint": "c", "sha256": "11", "model": old["model"].clone()});
    old["judges"] = json!({ "critic": judge });
    old["model"]["tokenizer"] = file;
    for model in ["/model", "/judges/critic/model"] {
        let model = old.pointer_mut(model).unwrap().as_object_mut().unwrap();
        model.remove("vocabulary_size").unwrap();
    }
    let plan = read(&old.to_string()).unwrap();
    assert_eq!(plan.model.vocabulary_size, 77);
    let TokenizerPlan::File { eos, bos, chat, .. } = &plan.model.tokenizer else {
        panic!("a file")
    };
    assert_eq!((&eos[..], bos, chat), (&["<end>".to_owned()][..], &None, &None));
    assert_ne!(plan.judges["critic"].model.vocabulary_size, 77);
    let error = RunPlan::from_json(&old.to_string(), &|_| Err("it is gone".to_owned()));
    let expected = "its version 2 did not say how many tokens a/tokenizer.json has, and it is gone";
    assert_eq!(error.unwrap_err().to_string(), expected);
}

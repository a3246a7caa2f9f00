//! Published folders that are written: read again they are the model they were written from, and written again they have
//! the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use r1x_core::Learner;
use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, ModelPlan, MtpPlan, Precision, QkNorm, RopeScaling,
    TokenizerPlan,
};
use r1x_core::port::Cursor;
use r1x_weights::SaveDtype;
use serde_json::Value;

use super::family::FAMILIES;
use super::save::{Target, export, family_of, import};
use super::texts::Texts;
use super::*;
use crate::checkpoint::Expected;
use crate::export::{self as exporting, Checkpoint};
use crate::policy::DecoderPolicy;

fn folders() -> Vec<(String, PathBuf)> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families");
    let entries = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut folders: Vec<(String, PathBuf)> =
        entries.filter(|path| path.is_dir()).map(|path| (name(&path), path)).collect();
    folders.sort();
    assert_eq!(folders.len(), 24);
    folders
}

/// Every file of a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn a_model_of_every_family_is_written_as_it_was_read() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, folder) in folders() {
        let [first, second, third] =
            ["a", "b", "c"].map(|one| scratch.path().join(format!("{name}-{one}")));
        let published = Published::open(&folder).unwrap();
        let plan = published.plan_of_shape();
        let layout = Layout::new(&plan);
        let numbers = published.numbers(&layout).unwrap();
        let texts = published.texts().unwrap();
        let family = published.family;
        for to in [&first, &second] {
            let target = Target { plan: &plan, family, texts: &texts, to };
            let saved = export(&layout, &numbers, &target, SaveDtype::F32);
            let saved = saved.unwrap_or_else(|error| panic!("{name}: {error}"));
            let names: Vec<&str> = saved.files.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["config.json", "generation_config.json", "model.safetensors"]);
        }
        let again = Published::open(&first).unwrap();
        assert_eq!(again.plan_of_shape(), plan, "{name}");
        assert_eq!(again.family.model_type, family.model_type);
        let found = again.numbers(&layout).unwrap();
        let bits = |numbers: &Numbers| {
            let all = numbers.values.iter().chain(numbers.biases.iter().flatten());
            all.map(|value| value.to_bits()).collect::<Vec<u32>>()
        };
        assert_eq!(bits(&found), bits(&numbers), "{name}");
        // Saved twice, and saved, read and saved again: byte for byte one folder.
        assert_eq!(contents(&second), contents(&first), "{name}");
        import(&again, &third, None).unwrap();
        assert_eq!(contents(&third), contents(&first), "{name}");
        assert!(family_of(&plan).is_ok(), "{name}");
    }
}

#[test]
fn every_type_of_numbers_is_kept_or_changed() {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "deepseek-v3").unwrap();
    let published = Published::open(&folder).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let to = |name: &str| scratch.path().join(name);
    import(&published, &to("bf16"), Some(SaveDtype::BF16)).unwrap();
    assert_eq!(config(&to("bf16"))["torch_dtype"], "bfloat16");
    let half = Published::open(&to("bf16")).unwrap();
    let names = |published: &Published| {
        let types = published.stored().unwrap().unwrap().types;
        types.into_iter().map(|one| (one.name, one.tensors, one.bytes)).collect::<Vec<_>>()
    };
    let [(whole, tensors, bytes)] = names(&published)[..] else { panic!() };
    // What steers the choice of experts stays exact; it is in the one layer with experts.
    assert_eq!(names(&half), [("BF16", tensors - 1, bytes / 2 - 16), ("F32", 1, 32)]);
    assert_eq!(whole, "F32");
    import(&half, &to("kept"), None).unwrap();
    assert_eq!(contents(&to("kept")), contents(&to("bf16")));
    import(&published, &to("f16"), Some(SaveDtype::F16)).unwrap();
    assert_eq!(config(&to("f16"))["torch_dtype"], "float16");
}

#[test]
fn what_is_there_stays() {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "llama").unwrap();
    let published = Published::open(&folder).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let error = import(&published, scratch.path(), None).unwrap_err().to_string();
    assert_eq!(error, format!("{} is there already", scratch.path().display()));
    // A separator at the end does not put the model into itself.
    let to = format!("{}/new/", scratch.path().display());
    import(&published, Path::new(&to), None).unwrap();
    let names: Vec<String> = contents(Path::new(&to)).into_keys().collect();
    assert_eq!(names, ["config.json", "generation_config.json", "model.safetensors"]);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn texts_go_along_and_their_ids_are_in_both_configurations() {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "qwen2").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let from = scratch.path().join("from");
    import(&Published::open(&folder).unwrap(), &from, None).unwrap();
    std::fs::write(from.join("tokenizer.json"), "{\"any\": 1}").unwrap();
    std::fs::write(from.join("chat_template.jinja"), "hello").unwrap();
    std::fs::write(from.join("README.md"), "not a text of the model").unwrap();
    std::fs::write(from.join("generation_config.json"), "{\"eos_token_id\": [5, 2]}").unwrap();
    let published = Published::open(&from).unwrap();
    let texts = published.texts().unwrap();
    // `config.json` of the golden folder says 1 and 2.
    assert_eq!((texts.ids.bos, &texts.ids.eos[..], texts.ids.pad), (Some(1), &[5, 2][..], None));
    let to = scratch.path().join("to");
    import(&published, &to, None).unwrap();
    let names: Vec<String> = contents(&to).into_keys().collect();
    let expected = [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(config(&to)["eos_token_id"], serde_json::json!([5, 2]));
    assert_eq!(contents(&to)["tokenizer.json"], b"{\"any\": 1}");
}

/// A small plan of Llama's shape.
fn small() -> ModelPlan {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "llama").unwrap();
    let pieces = (1..41).map(|piece| piece.to_string()).collect();
    Published::open(&folder).unwrap().plan(TokenizerPlan::Vocabulary { pieces }, Precision::F32)
}

#[test]
fn the_first_family_that_can_say_a_shape_is_taken() {
    let with = |change: &dyn Fn(&mut GqaPlan)| {
        let mut plan = small();
        let AttentionPlan::Gqa(gqa) = &mut plan.attention else { panic!() };
        change(gqa);
        plan
    };
    let word = |plan: &ModelPlan| family_of(plan).unwrap().model_type;
    assert_eq!(word(&small()), "llama");
    assert_eq!(word(&with(&|gqa| gqa.qkv_bias = true)), "qwen2");
    assert_eq!(word(&with(&|gqa| gqa.qk_norm = QkNorm::Head)), "qwen3");
    // Which layers are dense is said by one width, with experts or without any.
    let golden = |wanted: &str| {
        let (_, folder) = folders().into_iter().find(|(name, _)| name == wanted).unwrap();
        Published::open(&folder).unwrap().plan_of_shape()
    };
    let dense = ModelPlan { feed_forward: FeedForwardPlan::swiglu(30), ..golden("deepseek-v3") };
    assert_eq!(word(&dense), "deepseek_v2");
    let mut trained = golden("deepseek-v3");
    let FeedForwardPlan::Moe(moe) = &mut trained.feed_forward else { panic!() };
    (moe.bias_update_speed, moe.balance_loss) = (0.001, 1e-4);
    trained.recompute_activations = true;
    assert_eq!(word(&trained), "deepseek_v3");
}

/// A checkpoint with modules of multi-token prediction is written with them and with the matrices that they share, read
/// again with and without them, and written again byte for byte.
#[test]
fn modules_of_multi_token_prediction_go_out_and_in() {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "deepseek-v3").unwrap();
    let golden = Published::open(&folder).unwrap().plan_of_shape();
    let pieces = (1..50).map(|piece| piece.to_string()).collect();
    let plan = ModelPlan {
        mtp: Some(MtpPlan { depth: 2, weight: 0.3 }),
        tokenizer: TokenizerPlan::Vocabulary { pieces },
        ..golden
    };
    let scratch = tempfile::tempdir().unwrap();
    let policy = DecoderPolicy::<f32>::new(&plan, 3, 1, scratch.path().to_owned()).unwrap();
    let mut policy = policy;
    policy.save("saved", &Cursor::default()).unwrap();
    let [to, again] = ["to", "again"].map(|name| scratch.path().join(name));
    let (saved, dtype) = (scratch.path().join("saved"), SaveDtype::F32);
    let of = Checkpoint { folder: &saved, expected: Expected::ANYTHING, plan: &plan, seed: 3 };
    let family = exporting::model(&of, &to, dtype).unwrap().family;
    assert_eq!(family.model_type, "deepseek_v3");
    assert_eq!(config(&to)["num_nextn_predict_layers"], 2);
    let published = Published::open(&to).unwrap();
    assert_eq!((published.mtp_layers, published.plan_of_shape().mtp), (2, None));
    assert_eq!(published.stored_mtp().unwrap(), 2);
    // What a configuration says is not always in the files.
    let said = Published::open(&folder).unwrap();
    assert_eq!((said.mtp_layers, said.stored_mtp().unwrap()), (1, 0));
    let layout = Layout::new(&plan);
    assert_eq!(published.numbers(&layout).unwrap().values, policy.values());
    let without = Layout::new(&ModelPlan { mtp: None, ..plan.clone() });
    let numbers = published.numbers(&without).unwrap();
    assert_eq!(numbers.values, policy.values()[..without.base.len()]);
    let files = WeightFiles::open(&to).unwrap();
    let read = |name: &str| {
        let mut values = vec![0.0; files.get(name).unwrap_or_else(|| panic!("{name}")).elements()];
        files.read(name, &mut values).unwrap();
        values
    };
    let layers = plan.layers..plan.layers + 2;
    for layer in layers.clone() {
        let named = |name: &str| format!("model.layers.{layer}.{name}.weight");
        assert_eq!(read(&named("embed_tokens")), read("model.embed_tokens.weight"));
        assert_eq!(read(&named("shared_head.head")), read("lm_head.weight"));
        for name in ["enorm", "hnorm", "eh_proj", "shared_head.norm", "mlp.gate", "input_layernorm"]
        {
            read(&named(name));
        }
    }
    import(&published, &again, None).unwrap();
    assert_eq!(contents(&again), contents(&to));
    // More modules than there are, and a shared matrix that is another one.
    let deeper = ModelPlan { mtp: Some(MtpPlan { depth: 3, weight: 0.3 }), ..plan.clone() };
    let error = published.numbers(&Layout::new(&deeper)).map(drop).unwrap_err().to_string();
    assert!(error.contains(&format!("model.layers.{}.enorm.weight", layers.end)), "{error}");
    let path = to.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let copy = format!("model.layers.{}.shared_head.head.weight", layers.end - 1);
    let (length, rest) = bytes.split_first_chunk_mut::<8>().unwrap();
    let (header, data) = rest.split_at_mut(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).unwrap();
    let end = header[&copy]["data_offsets"][1].as_u64().unwrap() as usize;
    data[end - 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Published::open(&to).unwrap().numbers(&layout);
    let error = error.map(drop).unwrap_err().to_string();
    assert!(error.contains(&format!("{copy} and lm_head.weight differ in row")), "{error}");
    assert!(published.numbers(&without).is_ok());
}

/// A family has keys for modules with experts, or for none.
#[test]
fn modules_without_experts_are_not_published() {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "deepseek-v3").unwrap();
    let golden = Published::open(&folder).unwrap().plan_of_shape();
    let mtp = Some(MtpPlan { depth: 1, weight: 0.3 });
    assert!(family_of(&ModelPlan { mtp: mtp.clone(), ..golden.clone() }).is_ok());
    let dense = ModelPlan { feed_forward: FeedForwardPlan::swiglu(30), ..golden };
    assert!(family_of(&dense).is_ok());
    assert!(family_of(&ModelPlan { mtp: mtp.clone(), ..dense }).is_err());
    let error = family_of(&ModelPlan { mtp, ..small() }).unwrap_err().to_string();
    assert!(error.contains("`mtp` is"), "{error}");
}

#[test]
fn what_no_family_can_say_is_named() {
    let mut plan = small();
    let AttentionPlan::Gqa(gqa) = &mut plan.attention else { panic!() };
    (gqa.clip_qkv, gqa.qkv_bias, gqa.qk_norm) = (Some(2.0), true, QkNorm::Whole);
    let error = family_of(&plan).unwrap_err().to_string();
    assert_eq!(
        error,
        "no published family can say this model; `qwen2` is nearest: \
         `attention.gqa.qk_norm` is \"whole\", and would be read as \"none\"; \
         `attention.gqa.clip_qkv` is 2.0, and would be read as null"
    );
    let mut plan = small();
    let AttentionPlan::Gqa(gqa) = &mut plan.attention else { panic!() };
    gqa.output_bias = true;
    let texts = Texts::default();
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("to");
    let layout = Layout::new(&plan);
    let numbers = Numbers::zeros(&layout, &layout.base);
    let target = Target { plan: &plan, family: &FAMILIES[0], texts: &texts, to: &to };
    let error = export(&layout, &numbers, &target, SaveDtype::F32).unwrap_err().to_string();
    assert!(
        error.contains("`attention.gqa.qkv_bias` is false, and would be read as true"),
        "{error}"
    );
    assert!(!to.exists());
}

#[test]
fn scales_of_yarn_are_found_again_to_the_last_bit() {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "deepseek-v3").unwrap();
    let golden = Published::open(&folder).unwrap();
    let scales = [(1.0, 1.0), (0.707, 0.707), (1.0, 0.707), (0.3, 1.25), (0.0, 0.0), (1.0, 0.0)];
    for (scale, all) in scales {
        for factor in [1.0, 4.0, 40.0, 7.3] {
            let mut map: Map<String, Value> = serde_json::from_value(config(&folder)).unwrap();
            map["rope_parameters"]["mscale"] = scale.into();
            map["rope_parameters"]["mscale_all_dim"] = all.into();
            map["rope_parameters"]["factor"] = factor.into();
            let plan = Published::of_config(Path::new(""), &map).unwrap().plan_of_shape();
            assert!(matches!(plan.rope.scaling, RopeScaling::Yarn(_)));
            let family = family_of(&plan).unwrap_or_else(|error| panic!("{scale} {all}: {error}"));
            assert_eq!(family.model_type, golden.family.model_type);
        }
    }
    // A factor that no scale gives is written as it is.
    let mut plan = golden.plan_of_shape();
    let RopeScaling::Yarn(yarn) = &mut plan.rope.scaling else { panic!() };
    (yarn.rotation_factor, yarn.score_factor) = (0.9, 1.0);
    assert!(family_of(&plan).is_ok());
}

#[test]
fn a_checkpoint_becomes_a_published_model() {
    let scratch = tempfile::tempdir().unwrap();
    let plan = small();
    let mut policy = DecoderPolicy::<f32>::new(&plan, 3, 1, scratch.path().to_owned()).unwrap();
    let cursor = Cursor { stage: None, step: 0, drawn: 0 };
    policy.save("saved", &cursor).unwrap();
    let checkpoint = scratch.path().join("saved");
    let to = scratch.path().join("published");
    let dtype = SaveDtype::F32;
    let of = Checkpoint { folder: &checkpoint, expected: Expected::ANYTHING, plan: &plan, seed: 3 };
    let saved = exporting::model(&of, &to, dtype).unwrap();
    assert_eq!(saved.family.model_type, "llama");
    let published = Published::open(&to).unwrap();
    let numbers = published.numbers(&Layout::new(&plan)).unwrap();
    assert_eq!(numbers.values, policy.values());
    // The words of the plan are a tokenizer that ends where the model does.
    let texts = published.texts().unwrap();
    assert_eq!(texts.ids.eos, [0]);
    let json = texts.file("tokenizer.json").unwrap();
    let tokenizer = crate::Tokenizer::from_bytes(json, &["<eos>"]).unwrap();
    assert_eq!((tokenizer.len(), tokenizer.eos()), (41, 0));
    assert_eq!(tokenizer.encode("12  7\n40").unwrap(), [12, 7, 40]);
    assert_eq!(tokenizer.decode(&[12, 7, 40, 0]), "12 7 40");
    assert!(tokenizer.encode("41").is_err());
    let error = Published::open(&checkpoint).unwrap_err().to_string();
    assert!(error.contains("it is a checkpoint of r1x"), "{error}");
}

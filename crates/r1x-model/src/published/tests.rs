//! Models of every family against transformers: the folders that `tests/golden/families.py` wrote, read as anybody's.
//!
//! A folder has a configuration, weights, and what transformers computed with them: logits in f32 and f64, log-probs,
//! the gradient of every parameter, and what greedy sampling goes on with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use half::bf16;
use r1x_core::plan::{ModelPlan, Precision, SamplingPlan, TokenizerPlan};
use r1x_core::port::{EarlierWeights, GenerateRequest, WeightChoice};
use r1x_core::{Learner, PortError, Rng, TrainingBatch, TrainingSequence, testing};
use r1x_ops::{Operand, Real};
use safetensors::{Dtype, SafeTensors};

use super::*;
use crate::Model;
use crate::family::composed::{Composed, variables};
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::policy::DecoderPolicy;
use crate::weights::Weights;

/// Sequences of each folder.
const SEQUENCES: usize = 3;

/// Every folder, by its name.
fn folders() -> Vec<(String, PathBuf)> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families");
    let mut folders: Vec<(String, PathBuf)> = std::fs::read_dir(all)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    folders.sort();
    assert_eq!(folders.len(), 24);
    folders
}

/// A folder with what transformers said about it.
struct Golden {
    name: String,
    published: Published,
    plan: ModelPlan,
    tensors: BTreeMap<String, Vec<f64>>,
}

impl Golden {
    fn all() -> Vec<Self> {
        folders().into_iter().map(|(name, folder)| Self::open(name, &folder)).collect()
    }

    fn open(name: String, folder: &Path) -> Self {
        let published = Published::open(folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let pieces = (1..published.vocabulary_size).map(|piece| piece.to_string()).collect();
        let plan = published.plan(TokenizerPlan::Vocabulary { pieces }, Precision::F32);
        let bytes = std::fs::read(folder.join("golden.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let decoded = tensors.iter().map(|(name, view)| {
            let four = || view.data().chunks_exact(4).map(|word| word.try_into().unwrap());
            let eight = || view.data().chunks_exact(8).map(|word| word.try_into().unwrap());
            let values = match view.dtype() {
                Dtype::F32 => four().map(|w| f64::from(f32::from_le_bytes(w))).collect(),
                Dtype::U32 => four().map(|w| f64::from(u32::from_le_bytes(w))).collect(),
                Dtype::F64 => eight().map(f64::from_le_bytes).collect(),
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), values)
        });
        let tensors = decoded.collect();
        Self { name, published, plan, tensors }
    }

    fn tokens(&self, sequence: usize) -> Vec<u32> {
        self.tensors[&format!("tokens.{sequence}")].iter().map(|id| *id as u32).collect()
    }

    /// The sequences as a pass that computes every row of them.
    fn packed(&self) -> Packed {
        let sequences: Vec<Vec<u32>> = (0..SEQUENCES).map(|n| self.tokens(n)).collect();
        Packed::new(sequences.iter().map(|tokens| (&tokens[..], 1)))
    }

    fn decoder<R: Real>(&self) -> (Decoder<R>, Weights<R>) {
        let decoder = Decoder::<R>::new(&self.plan);
        let numbers = self.published.numbers(&decoder.layout);
        let numbers = numbers.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut weights = Weights::zeros(&decoder.layout);
        let widen = |value: &f32| R::from_f64(f64::from(*value));
        weights.edit(&decoder.layout, 1, |values, biases| {
            for (to, from) in values.iter_mut().zip(&numbers.values) {
                *to = widen(from);
            }
            for (to, from) in biases.iter_mut().zip(&numbers.biases) {
                *to = from.iter().map(widen).collect();
            }
        });
        (decoder, weights)
    }

    /// Logits of the rows that are computed: all but the last of each sequence.
    fn expected_logits(&self, kind: &str) -> Vec<f64> {
        let rows = (0..SEQUENCES).flat_map(|n| {
            let all = &self.tensors[&format!("{kind}.{n}")];
            &all[..all.len() - self.plan.vocabulary_size]
        });
        rows.copied().collect()
    }

    /// The largest difference of two lists of numbers must be below a bound.
    fn assert_close(&self, what: &str, found: &[f64], expected: &[f64], bound: f64) {
        assert_eq!(found.len(), expected.len(), "{}: {what}", self.name);
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            let name = &self.name;
            assert!(difference <= bound, "{name}: {what}[{index}]: {found} against {expected}");
        }
    }

    /// Logits of every computed row and the gradient of the mean negative log-prob, by the hand-written passes.
    fn computed<R: Real>(&self) -> (Vec<f64>, BTreeMap<String, Vec<f64>>) {
        let (decoder, weights) = self.decoder::<R>();
        let (packed, mut work) = (self.packed(), Workspace::default());
        decoder.forward(&weights, &packed, &mut work);
        let rows: Vec<usize> = (0..packed.tokens.len()).collect();
        let logits = decoder.logits(&weights, &rows, &mut work);
        let logits = logits.iter().map(|logit| logit.to_f64()).collect();
        let count = packed.targets.len();
        decoder.logprobs(&weights, &packed.predicting, &packed.targets, 1.0, &mut work);
        let upstream = vec![R::from_f64(-1.0 / count as f64); count];
        let mut gradient = vec![R::ZERO; decoder.layout.base.len()];
        let into = crate::tests::into(&decoder.layout, &mut gradient);
        decoder.backward(&weights, &packed, &upstream, 1.0, 0.0, into, &mut work);
        let gradients = decoder.layout.base.parameters.iter().map(|parameter| {
            let part = &gradient[parameter.offset..parameter.offset + parameter.len()];
            let part = part.iter().map(|g| g.to_f64()).collect();
            (names::published_name(&parameter.name, self.published.family.renamed), part)
        });
        (logits, gradients.collect())
    }

    /// The gradient of a parameter as transformers has it, from a tensor of all experts where they are stacked.
    fn expected_gradient(&self, name: &str, len: usize) -> Vec<f64> {
        if let Some(found) = self.tensors.get(&format!("grad.{name}")) {
            return found.clone();
        }
        let (layer, rest) = name.split_once(".mlp.experts.").unwrap();
        let (expert, projection) = rest.split_once('.').unwrap();
        let expert: usize = expert.parse().unwrap();
        let (tensor, start) = match projection {
            "gate_proj.weight" => ("gate_up_proj", 2 * expert * len),
            "up_proj.weight" => ("gate_up_proj", (2 * expert + 1) * len),
            _ => ("down_proj", expert * len),
        };
        self.tensors[&format!("grad.{layer}.mlp.experts.{tensor}")][start..start + len].to_vec()
    }

    fn assert_gradients(&self, found: &BTreeMap<String, Vec<f64>>, bound: f64) {
        for (name, found) in found {
            let expected = self.expected_gradient(name, found.len());
            let size = expected.iter().fold(0f64, |size, g| size.max(g.abs()));
            assert!(size > 0.0, "{}: {name} has no gradient", self.name);
            self.assert_close(name, found, &expected, bound * size);
        }
    }

    fn policy<E: Operand<Real = f32>>(&self) -> (DecoderPolicy<E>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut policy =
            DecoderPolicy::<E>::new(&self.plan, 1, 2, folder.path().to_owned()).unwrap();
        policy.load_published(&self.published).unwrap();
        (policy, folder)
    }

    /// Every sequence as a prompt of one sample of exactly so many tokens.
    fn requests(&self, length: usize) -> Vec<GenerateRequest> {
        let request = |n| GenerateRequest {
            prompt: self.tokens(n),
            samples: 1,
            address: n as u64,
            lengths: vec![length],
        };
        (0..SEQUENCES).map(request).collect()
    }
}

fn greedy(length: usize) -> SamplingPlan {
    SamplingPlan { temperature: 0.0, ..testing::sampling(length) }
}

#[test]
fn logits_and_gradients_of_every_family_are_those_of_transformers() {
    for golden in Golden::all() {
        let (logits, gradients) = golden.computed::<f32>();
        golden.assert_close("logits in f32", &logits, &golden.expected_logits("logits"), 2e-5);
        golden.assert_gradients(&gradients, 1e-4);
        // In f64 nothing is left to rounding but what the reference rounds itself.
        let (logits, gradients) = golden.computed::<f64>();
        golden.assert_close("logits in f64", &logits, &golden.expected_logits("logits64"), 1e-9);
        golden.assert_gradients(&gradients, 5e-5);
    }
}

#[test]
fn the_composed_form_of_every_family_is_that_of_transformers() {
    for golden in Golden::all() {
        let (decoder, weights) = golden.decoder::<f64>();
        let variables = variables(&decoder.layout, &weights, DType::F64, &Device::Cpu).unwrap();
        let biases = weights.biases().to_vec();
        let model = Composed::new(&golden.plan, &variables, biases, &Device::Cpu).unwrap();
        let packed = golden.packed();
        let pass = model.pass(&packed).unwrap();
        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let logits = flat(&model.logits(&pass.residual).unwrap());
        golden.assert_close("logits", &logits, &golden.expected_logits("logits64"), 1e-9);
        let loss = model.token_logprobs(&pass, &packed, 1.0).unwrap().mean_all().unwrap();
        let grads = loss.neg().unwrap().backward().unwrap();
        let renamed = golden.published.family.renamed;
        let found = variables.iter().filter_map(|(name, variable)| {
            Some((names::published_name(name, renamed), flat(grads.get(variable)?)))
        });
        golden.assert_gradients(&found.collect(), 5e-5);
    }
}

#[test]
fn greedy_sampling_goes_on_as_transformers_does() {
    for golden in Golden::all() {
        let (policy, _folder) = golden.policy::<f32>();
        let length = 24;
        let stream = Rng::new(1).stream("greedy");
        let found =
            r1x_core::Sampler::generate(&policy, &golden.requests(length), &greedy(length), stream);
        for (n, completions) in found.unwrap().into_iter().enumerate() {
            let expected = &golden.tensors[&format!("greedy.{n}")];
            let expected: Vec<u32> = expected.iter().map(|id| *id as u32).collect();
            assert_eq!(completions[0].tokens, expected, "{}: sequence {n}", golden.name);
        }
    }
}

#[test]
fn the_sampler_and_the_trainer_of_every_family_agree_bit_for_bit() {
    for golden in Golden::all() {
        sampler_and_trainer(&golden, &mut golden.policy::<f32>().0);
        sampler_and_trainer(&golden, &mut golden.policy::<bf16>().0);
    }
}

fn sampler_and_trainer<E: Operand<Real = f32>>(golden: &Golden, policy: &mut DecoderPolicy<E>) {
    let stream = Rng::new(2).stream("sampling");
    let requests = golden.requests(20);
    let sampling = SamplingPlan { temperature: 0.9, ..testing::sampling(20) };
    let sampled = r1x_core::Sampler::generate(policy, &requests, &sampling, stream).unwrap();
    let sequences = requests.iter().zip(&sampled).map(|(request, completions)| {
        std::sync::Arc::new(TrainingSequence::new(&request.prompt, &completions[0].tokens))
    });
    let batch = TrainingBatch {
        sequences: sequences.collect(),
        micro_batch_size: 2,
        temperature: 0.9,
        share_prompts: false,
    };
    let scored = r1x_core::Scorer::score(policy, WeightChoice::Current, &batch).unwrap();
    for (scored, completions) in scored.iter().zip(&sampled) {
        assert_eq!(*scored, completions[0].logprobs, "{} in {}", golden.name, E::NAME);
    }
}

#[test]
fn both_generations_of_keys_say_the_same_model() {
    let mut compared = 0;
    for (name, folder) in folders() {
        let older = folder.join("config.older.json");
        let text = std::fs::read(&older).unwrap();
        let (new, old) = (
            Published::open(&folder).unwrap(),
            Published::read(&folder, "config.older.json", &text),
        );
        let old = old.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((old.shape, old.layers), (new.shape, new.layers), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 24);
}

#[test]
fn a_device_runs_a_published_model_as_the_cpu_does() {
    for golden in Golden::all() {
        let (kernels, _folder) = golden.policy::<f32>();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut tensors = crate::TensorPolicy::new(&golden.plan, 1, path, &Device::Cpu).unwrap();
        Model::load_published(&mut tensors, &golden.published).unwrap();
        let stream = Rng::new(1).stream("greedy");
        let (requests, sampling) = (golden.requests(24), greedy(24));
        let expected = r1x_core::Sampler::generate(&kernels, &requests, &sampling, stream).unwrap();
        let found = r1x_core::Sampler::generate(&tensors, &requests, &sampling, stream).unwrap();
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert_eq!(found.tokens, expected.tokens, "{}", golden.name);
        }
    }
}

/// A plan names a published model by its folder and a hash of its files; a policy begins with the weights, goes back to
/// them, and refuses a folder that has changed.
#[test]
fn a_plan_begins_with_a_published_model_as_long_as_its_files_are_the_same() {
    let (_, golden) = folders().into_iter().find(|(name, _)| name == "qwen3").unwrap();
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(name), folder.path().join(name)).unwrap();
    }
    let golden = Golden::open("qwen3".to_owned(), &golden);
    let initial = Published::open(folder.path()).unwrap().begin_with().unwrap();
    let plan = ModelPlan { initial, ..golden.plan.clone() };
    let new = || DecoderPolicy::<f32>::new(&plan, 1, 1, home.path().to_owned());
    let mut policy = new().unwrap();
    let expected = golden.policy::<f32>().0;
    assert_eq!(policy.values(), expected.values());
    let other = DecoderPolicy::<f32>::new(&golden.plan, 1, 1, home.path().to_owned()).unwrap();
    assert_ne!(other.values(), expected.values());
    policy.weights = other.weights;
    Learner::take_weights(&mut policy, EarlierWeights::Initial).unwrap();
    assert_eq!(policy.values(), expected.values());
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = new().unwrap_err().to_string();
    assert!(error.contains("it has changed: its sha256 is "), "{error}");
}

fn told(config: serde_json::Value) -> String {
    let text = config.to_string();
    Published::read(Path::new("m"), "m/config.json", text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn everything_wrong_with_a_configuration_is_said_at_once() {
    use serde_json::json;
    let unknown = told(json!({"model_type": "gpt2", "hidden_act": "gelu"}));
    assert!(unknown.starts_with("m/config.json: `hidden_act` is `gelu`; what is known: silu; "));
    assert!(unknown.contains("`model_type` is `gpt2`; what is known: llama, qwen2, "), "{unknown}");
    let torn = told(json!({
        "model_type": "llama", "hidden_size": "wide", "num_hidden_layers": 0,
        "num_attention_heads": 3, "num_key_value_heads": 2, "intermediate_size": 8,
        "max_position_embeddings": 64, "rms_norm_eps": -1,
        "rope_scaling": {"type": "longrope", "factor": 2.0},
    }));
    for part in [
        "`hidden_size` is \"wide\", not a count above 0",
        "`num_hidden_layers` is 0, not a count above 0",
        "`num_key_value_heads` is 2, and does not divide 3",
        "`rms_norm_eps` is -1, not a number above 0",
        "`rope_scaling.type` is `longrope`; what is known: default, linear, llama3 and yarn",
        "`vocab_size` is missing",
    ] {
        assert!(torn.contains(part), "{part} is not in: {torn}");
    }
}

#[test]
fn every_tensor_that_does_not_fit_is_named() {
    let (_, folder) = folders().into_iter().find(|(name, _)| name == "llama").unwrap();
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["num_hidden_layers"] = 1.into();
    config["intermediate_size"] = 7.into();
    config["attention_bias"] = true.into();
    config["tie_word_embeddings"] = true.into();
    let changed = Published::read(&folder, "config.json", config.to_string().as_bytes()).unwrap();
    let pieces = vec!["1".to_owned()];
    let plan = changed.plan(TokenizerPlan::Vocabulary { pieces }, Precision::F32);
    let error = changed.numbers(&Layout::new(&plan)).unwrap_err().to_string();
    assert!(error.contains("4 missing: model.layers.0.self_attn.q_proj.bias, "), "{error}");
    assert!(error.contains("3 misshapen: model.layers.0.mlp.gate_proj.weight is ["), "{error}");
    assert!(!error.contains("surplus"), "layers behind the last are no part of the model: {error}");
    // A head beside a tied embedding must be the embedding.
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["tie_word_embeddings"] = true.into();
    let tied = Published::read(&folder, "config.json", config.to_string().as_bytes()).unwrap();
    let pieces = vec!["1".to_owned()];
    let plan = tied.plan(TokenizerPlan::Vocabulary { pieces }, Precision::F32);
    let error = tied.numbers(&Layout::new(&plan)).unwrap_err().to_string();
    assert!(error.contains("`tie_word_embeddings` is true, but lm_head.weight and"), "{error}");
}

/// The configuration of DeepSeek-V3, V3-Base, R1 and R1-Zero as it is published, without what nothing depends on.
fn deepseek_v3() -> serde_json::Value {
    serde_json::json!({
        "model_type": "deepseek_v3", "vocab_size": 129280, "hidden_size": 7168,
        "num_hidden_layers": 61, "intermediate_size": 18432, "moe_intermediate_size": 2048,
        "first_k_dense_replace": 3, "moe_layer_freq": 1, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4,
        "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": true,
        "routed_scaling_factor": 2.5, "num_attention_heads": 128, "num_key_value_heads": 128,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128, "attention_bias": false,
        "rms_norm_eps": 1e-6, "hidden_act": "silu", "max_position_embeddings": 163840,
        "rope_theta": 10000, "tie_word_embeddings": false, "num_nextn_predict_layers": 1,
        "rope_scaling": {
            "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
            "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0
        },
    })
}

#[test]
fn deepseek_v3_has_the_parameters_and_the_scale_that_were_published() {
    let text = deepseek_v3().to_string();
    let read = Published::read(Path::new("m"), "config.json", text.as_bytes()).unwrap();
    let plan = read.plan(TokenizerPlan::Vocabulary { pieces: Vec::new() }, Precision::Bf16);
    let list = r1x_core::parameters::ParameterList::new(&plan);
    let all = |counts: fn(&r1x_core::parameters::Counted<'_>) -> u64| -> u64 {
        list.counted().map(|row| row.tensor.size() * counts(&row)).sum()
    };
    // 671.03 B with the biases that steer the selection, 37.55 B of them for a token.
    assert_eq!(all(|row| row.count), 671_026_419_200);
    let active = all(|row| row.active) as f64 / 1e9;
    assert!((active - 37.55).abs() < 0.01, "{active}");
    let r1x_core::plan::RopeScaling::Yarn(yarn) = &plan.rope.scaling else { panic!("YaRN") };
    assert_eq!(yarn.rotation_factor, 1.0);
    assert!((192f64.powf(-0.5) * yarn.score_factor - 0.135_233_8).abs() < 1e-7);
    let r1x_core::plan::FeedForwardPlan::Moe(mixture) = &plan.feed_forward else { panic!("MoE") };
    assert_eq!((mixture.dense_layers.len(), mixture.groups, mixture.groups_per_token), (3, 8, 4));
    // One module of multi-token prediction, which is said and not part of the plan.
    assert_eq!((read.mtp_layers, &plan.mtp), (1, &None));
}

#[test]
fn multi_token_prediction_has_two_names_and_an_end() {
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut config = deepseek_v3();
        config.as_object_mut().unwrap().remove("num_nextn_predict_layers");
        change(&mut config);
        let text = config.to_string();
        Published::read(Path::new("m"), "config.json", text.as_bytes())
    };
    assert_eq!(with(&|_| ()).unwrap().mtp_layers, 0);
    assert_eq!(with(&|config| config["num_mtp_layers"] = 3.into()).unwrap().mtp_layers, 3);
    let error = with(&|config| config["num_nextn_predict_layers"] = 17.into()).unwrap_err();
    let expected = "`num_nextn_predict_layers` is 17; 16 is the most that is read";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn what_is_no_model_is_told_for_what_it_is() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let told = |path: &Path| Published::open(path).unwrap_err().to_string();
    let adapters = told(&golden.join("adapters/llama"));
    assert!(adapters.contains("it holds adapters and not the model"), "{adapters}");
    for name in ["config.json", "model.safetensors"] {
        let error = Published::open(&golden.join("families/llama").join(name)).unwrap_err();
        let error = PortError::from(error);
        assert!(error.message.ends_with("it is one file of a model"), "{error:?}");
        assert_eq!(error.hint.as_deref(), Some("give the folder that it is in"));
    }
    // A run, a stage of it, and a checkpoint of that.
    let above = tempfile::tempdir().unwrap();
    let [run, stage, checkpoint] =
        ["run", "run/rl", "run/rl/final"].map(|name| above.path().join(name));
    std::fs::create_dir_all(&checkpoint).unwrap();
    std::fs::write(checkpoint.join(STATE), "{}").unwrap();
    for (path, what) in [
        (&run, "it holds checkpoints of r1x and is no model"),
        (&stage, "it holds checkpoints of r1x and is no model"),
        (&checkpoint, "it is a checkpoint of r1x, and its shape is in the store"),
    ] {
        let error = PortError::from(Published::open(path).unwrap_err());
        assert_eq!(error.message, format!("{}: {what}", path.display()));
        let export = format!("`r1x model export {} FOLDER` writes it", checkpoint.display());
        assert!(error.hint.as_deref().unwrap_or_default().starts_with(&export), "{error:?}");
    }
}

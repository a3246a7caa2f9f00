//! Published models that say values: against transformers, by the folder that `tests/golden/values.py` wrote, as they are
//! saved, and as models that take their body from one that writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use r1x_core::plan::{Precision, TokenizerPlan};
use r1x_core::port::{Cursor, WeightChoice};
use r1x_core::{Learner, Scorer, TrainingBatch, TrainingSequence};
use r1x_ops::Real;
use safetensors::{Dtype, SafeTensors};

use super::save::import;
use super::score::{Asked, PublishedScorer};
use super::*;
use crate::checkpoint::Expected;
use crate::family::composed::{Composed, variables};
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::policy::DecoderPolicy;
use crate::tensor::TensorPolicy;
use crate::weights::Weights;

/// Largest difference of a value.
const VALUE: f64 = 2e-5;
/// Largest difference of a gradient, relative to the largest number of its tensor.
const GRADIENT: f64 = 1e-4;
const SEQUENCES: usize = 3;

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder)
}

fn planned(published: &Published) -> ModelPlan {
    let pieces = (1..published.vocabulary_size).map(|piece| piece.to_string()).collect();
    published.plan(TokenizerPlan::Vocabulary { pieces }, Precision::F32)
}

/// What transformers said.
struct Golden(BTreeMap<String, Vec<f64>>);

impl Golden {
    fn read() -> Self {
        let bytes = std::fs::read(golden("values/golden.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let decoded = tensors.iter().map(|(name, view)| {
            let words = view.data().as_chunks::<4>().0.iter();
            let values = match view.dtype() {
                Dtype::F32 => words.map(|word| f64::from(f32::from_le_bytes(*word))).collect(),
                Dtype::U32 => words.map(|word| f64::from(u32::from_le_bytes(*word))).collect(),
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), values)
        });
        Self(decoded.collect())
    }

    /// Each sequence with one further token behind it, whose predicting row is the last one of the sequence.
    fn sequences(&self) -> Vec<Vec<u32>> {
        let tokens = |index: usize| self.0[&format!("tokens.{index}")].iter().map(|id| *id as u32);
        (0..SEQUENCES).map(|index| tokens(index).chain([2]).collect()).collect()
    }

    fn packed(&self) -> Packed {
        Packed::new(self.sequences().iter().map(|tokens| (&tokens[..], tokens.len() - 1)))
    }

    fn values(&self, what: &str) -> Vec<f64> {
        (0..SEQUENCES).map(|index| self.0[&format!("{what}.{index}")][0]).collect()
    }

    fn assert_said(&self, said: &[f64], gradients: &BTreeMap<String, Vec<f64>>) {
        for (found, expected) in said.iter().zip(self.values("value")) {
            assert!((found - expected).abs() < VALUE, "{found} is not {expected}");
            assert!(expected.abs() > 0.01, "a comparison of zeros would be none");
        }
        assert_eq!(said.len(), SEQUENCES);
        let expected = self
            .0
            .iter()
            .filter_map(|(name, values)| Some((name.strip_prefix("grad.")?.to_owned(), values)));
        let mut compared = 0;
        for (name, expected) in expected {
            let found = &gradients[&name];
            let size = expected.iter().fold(0f64, |size, one| size.max(one.abs()));
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < GRADIENT * size, "{name}: {found}, {expected}");
            }
            assert_eq!(found.len(), expected.len(), "{name}");
            compared += 1;
        }
        assert_eq!(compared, gradients.len());
    }
}

fn decoder<R: Real>(published: &Published) -> (Decoder<R>, Weights<R>) {
    let decoder = Decoder::<R>::new(&planned(published));
    let numbers = published.numbers(&decoder.layout).unwrap();
    let mut weights = Weights::zeros(&decoder.layout);
    weights.edit(&decoder.layout, 1, |values, _| {
        for (to, from) in values.iter_mut().zip(&numbers.values) {
            *to = R::from_f64(f64::from(*from));
        }
    });
    (decoder, weights)
}

fn by_kernels<R: Real>(golden: &Golden, published: &Published) {
    let (decoder, weights) = decoder::<R>(published);
    let (packed, mut work) = (golden.packed(), Workspace::default());
    decoder.forward(&weights, &packed, &mut work);
    let (rows, targets) = (&packed.predicting, &packed.targets);
    let said = decoder.say(&weights, rows, targets, 1.0, &mut work);
    let upstream: Vec<R> = golden.values("weight").iter().map(|one| R::from_f64(*one)).collect();
    let mut gradient = vec![R::ZERO; decoder.layout.base.len()];
    let into = crate::tests::into(&decoder.layout, &mut gradient);
    decoder.backward(&weights, &packed, &upstream, 1.0, 0.0, into, &mut work);
    let parameters = decoder.layout.base.parameters.iter();
    let gradients = parameters.map(|one| {
        (one.name.clone(), gradient[one.range()].iter().map(|number| number.to_f64()).collect())
    });
    let said: Vec<f64> = said.iter().map(|value| value.to_f64()).collect();
    golden.assert_said(&said, &gradients.collect());
}

#[test]
fn values_and_gradients_are_those_of_transformers() {
    let published = Published::open(&golden("values")).unwrap();
    assert_eq!((published.head, published.family.model_type), (HeadPlan::Value, "llama"));
    let golden = Golden::read();
    by_kernels::<f32>(&golden, &published);
    by_kernels::<f64>(&golden, &published);
    let (decoder, weights) = decoder::<f64>(&published);
    let variables = variables(&decoder.layout, &weights, DType::F64, &Device::Cpu).unwrap();
    let plan = planned(&published);
    let model = Composed::new(&plan, &variables, Vec::new(), &Device::Cpu).unwrap();
    let packed = golden.packed();
    let said = model.say(&model.pass(&packed).unwrap(), &packed, 1.0).unwrap();
    let upstream = Tensor::new(&golden.values("weight")[..], &Device::Cpu).unwrap();
    let found = (&said * upstream).unwrap().sum_all().unwrap().backward().unwrap();
    let flat = |one: &Tensor| one.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let named = variables.iter();
    let gradients = named.map(|(name, one)| (name.clone(), flat(found.get(one).unwrap())));
    golden.assert_said(&flat(&said), &gradients.collect());
}

/// What a reader of transformers sees is a classifier with one label, and what r1x reads is the model that was written.
#[test]
fn a_model_is_saved_as_it_was_read() {
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("again");
    let published = Published::open(&golden("values")).unwrap();
    import(&published, &to, None).unwrap();
    let again = Published::open(&to).unwrap();
    assert_eq!(again.plan_of_shape(), published.plan_of_shape());
    let layout = Layout::new(&published.plan_of_shape());
    assert_eq!(again.numbers(&layout).unwrap(), published.numbers(&layout).unwrap());
    let config = std::fs::read(to.join(CONFIG)).unwrap();
    let config: Map<String, Value> = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["architectures"], serde_json::json!(["LlamaForSequenceClassification"]));
    assert_eq!(config["id2label"], serde_json::json!({"0": "LABEL_0"}));
    let files = WeightFiles::open(&to).unwrap();
    assert_eq!(files.get("score.weight").unwrap().shape(), [1, 16]);
    assert!(files.get("lm_head.weight").is_none());
}

#[test]
fn one_label_is_known_and_no_other_number() {
    let text = std::fs::read(golden("values/config.json")).unwrap();
    let config: Map<String, Value> = serde_json::from_slice(&text).unwrap();
    let refused = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut config = config.clone();
        change(&mut config);
        Published::of_config(Path::new(""), &config).unwrap_err().join("; ")
    };
    let three = refused(&|config| {
        config["id2label"] = serde_json::json!({"0": "a", "1": "b", "2": "c"});
    });
    assert!(three.contains("`num_labels` is 3; what is known: 1"), "{three}");
    // Nothing said is two, as transformers has it.
    let two = refused(&|config| drop(config.remove("id2label")));
    assert!(two.contains("`num_labels` is 2"), "{two}");
    let said = refused(&|config| drop(config.insert("num_labels".to_owned(), 5.into())));
    assert!(said.contains("`num_labels` is 5"), "{said}");
}

/// A batch whose last targets are asked about.
fn batch() -> TrainingBatch {
    let sequences = Golden::read().sequences();
    let sequence = |tokens: &Vec<u32>| {
        let tokens: Vec<u32> = tokens.iter().map(|token| token % 24).collect();
        std::sync::Arc::new(TrainingSequence::new(&tokens[..1], &tokens[1..]))
    };
    let sequences = sequences.iter().map(sequence).collect();
    TrainingBatch { sequences, micro_batch_size: 2, temperature: 1.0, share_prompts: false }
}

#[test]
fn the_body_of_a_published_model_that_writes_gets_a_head_that_is_drawn() {
    for family in ["llama", "qwen2", "qwen3-moe"] {
        let published = Published::open(&golden("families").join(family)).unwrap();
        let writes = planned(&published);
        let begun = |plan: &ModelPlan, initial| {
            let plan = ModelPlan { initial, ..plan.clone() };
            DecoderPolicy::<f32>::new(&plan, 7, 1, PathBuf::new()).unwrap()
        };
        let plan = ModelPlan { head: HeadPlan::Value, ..writes.clone() };
        let [judge, random] = [published.begin_with().unwrap(), InitialWeights::Random]
            .map(|initial| begun(&plan, initial));
        let writer = begun(&writes, published.begin_with().unwrap());
        let mut heads = 0;
        for parameter in &judge.decoder.layout.base.parameters {
            let found = judge.weights.parameter(parameter);
            let is_head = parameter.name == "score.weight";
            let like = if is_head { &random } else { &writer };
            let named = like.decoder.layout.base.parameters.iter();
            let same = named.clone().find(|one| one.name == parameter.name).unwrap();
            assert_eq!(found, like.weights.parameter(same), "{family}: {}", parameter.name);
            heads += usize::from(is_head);
        }
        assert_eq!(heads, 1);
        // Who only asks a model wants its own head.
        let error = published.numbers(&judge.decoder.layout).unwrap_err().to_string();
        assert!(error.contains("1 missing: score.weight"), "{error}");
    }
}

#[test]
fn a_model_that_judges_cannot_be_read_as_one_that_writes() {
    let published = Published::open(&golden("values")).unwrap();
    let plan = ModelPlan { head: HeadPlan::Vocabulary, ..planned(&published) };
    let error = published.numbers(&Layout::new(&plan)).unwrap_err().to_string();
    assert!(error.contains("1 missing: lm_head.weight; 1 surplus: score.weight"), "{error}");
    let error = PublishedScorer::load(&published, Precision::F32, Asked::Logprobs).unwrap_err();
    assert!(error.to_string().contains("value head"), "{error}");
}

#[test]
fn the_body_of_a_checkpoint_is_taken_and_the_head_stays() {
    for tie_embeddings in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let published = Published::open(&golden("families/llama")).unwrap();
        let writes = ModelPlan { tie_embeddings, ..planned(&published) };
        let home = folder.path().to_owned();
        let mut writer = DecoderPolicy::<f32>::new(&writes, 1, 1, home).unwrap();
        let saved = writer.save("sft/final", &Cursor::default()).unwrap();
        let path = folder.path().join(saved.path);
        let plan = ModelPlan { head: HeadPlan::Value, ..writes };
        let mut judge = DecoderPolicy::<f32>::new(&plan, 2, 1, PathBuf::new()).unwrap();
        let row = judge.decoder.layout.value_head().unwrap().clone();
        let head = judge.weights.parameter(&row).into_owned();
        let whole = judge.load_weights(&path, &Expected::ANYTHING).unwrap_err().to_string();
        assert!(whole.contains("has no tensor `score.weight`"), "{whole}");
        judge.load_body(&path, &Expected::ANYTHING).unwrap();
        assert_eq!(judge.weights.parameter(&row), head);
        assert_eq!(judge.values()[..64], writer.values()[..64]);
        let mut tensors = TensorPolicy::new(&plan, 2, PathBuf::new(), &Device::Cpu).unwrap();
        tensors.load_body(&path, &Expected::ANYTHING).unwrap();
        assert_eq!(tensors.values().unwrap(), judge.values());
        let said = judge.score(WeightChoice::Current, &batch()).unwrap().concat();
        assert!(said.iter().all(|value| value.is_finite()) && said[0] != said[1]);
    }
}

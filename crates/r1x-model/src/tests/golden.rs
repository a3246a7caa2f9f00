//! The model against Hugging Face's Llama and DeepSeek-V3, the latter also with modules of multi-token prediction: logits,
//! log-probs and every gradient, from the files that `make.py` and `mtp.py` in `tests/golden` wrote. They are in `f32`, which bounds how closely anything can agree.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use r1x_core::plan::ModelPlan;
use r1x_ops::Real;
use safetensors::SafeTensors;

use crate::family::composed::{Composed, variables};
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::weights::Weights;

const GOLDENS: [(&str, &[u8]); 3] = [
    ("llama", include_bytes!("../../tests/golden/llama.safetensors")),
    ("deepseek-v3", include_bytes!("../../tests/golden/deepseek-v3.safetensors")),
    ("multi-token prediction", include_bytes!("../../tests/golden/mtp.safetensors")),
];

/// Largest difference allowed, relative to the largest number of the tensor.
const TOLERANCE: f64 = 1e-5;

/// Tokens in the vocabulary of every file.
const VOCABULARY: usize = 24;

/// What the header of a file says.
#[derive(serde::Deserialize)]
struct Header {
    plan: ModelPlan,
    temperature: f64,
}

/// One file, decoded.
struct Golden {
    header: Header,
    tensors: BTreeMap<String, Vec<f64>>,
}

/// What a model said about the sequences of a file.
struct Said {
    /// At every row that is computed, sequence after sequence.
    logits: Vec<f64>,
    logprobs: Vec<f64>,
    /// Log-probs by each module of multi-token prediction.
    further: Vec<Vec<f64>>,
    gradients: BTreeMap<String, Vec<f64>>,
}

impl Golden {
    fn read(bytes: &[u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let header = header.metadata().clone().unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let decoded = tensors.iter().map(|(name, view)| {
            let words = view.data().chunks_exact(4).map(|word| word.try_into().unwrap());
            let values = match view.dtype() {
                safetensors::Dtype::F32 => {
                    words.map(|w| f64::from(f32::from_le_bytes(w))).collect()
                }
                safetensors::Dtype::U32 => {
                    words.map(|w| f64::from(u32::from_le_bytes(w))).collect()
                }
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), values)
        });
        let mut read: serde_json::Value = serde_json::from_str(&header["golden"]).unwrap();
        // The files say what a model is; how r1x computes it is said here.
        let plan = read["plan"].as_object_mut().unwrap();
        plan.insert("precision".to_owned(), "f32".into());
        plan.insert("initial".to_owned(), "random".into());
        plan.insert("vocabulary_size".to_owned(), VOCABULARY.into());
        plan.insert("recompute_activations".to_owned(), false.into());
        plan.entry("head").or_insert("vocabulary".into());
        plan.entry("mtp").or_insert(serde_json::Value::Null);
        Self { header: serde_json::from_value(read).unwrap(), tensors: decoded.collect() }
    }

    fn sequences(&self) -> Vec<Vec<u32>> {
        let tokens = |n| self.tensors[&format!("tokens.{n}")].iter().map(|id| *id as u32).collect();
        (0..2).map(tokens).collect()
    }

    fn packed(&self) -> Packed {
        Packed::new(self.sequences().iter().map(|tokens| (&tokens[..], 2)))
    }

    /// What the log-probs of a module are multiplied with.
    fn credit(&self, module: usize) -> &[f64] {
        &self.tensors[&format!("mtp_gradients.{module}")]
    }

    fn decoder<R: Real>(&self) -> (Decoder<R>, Weights<R>) {
        let decoder = Decoder::<R>::new(&self.header.plan);
        let mut weights = Weights::zeros(&decoder.layout);
        weights.edit(&decoder.layout, 1, |values, biases| {
            for parameter in &decoder.layout.base.parameters {
                let to = &mut values[parameter.offset..parameter.offset + parameter.len()];
                fill(to, &self.tensors[&parameter.name]);
            }
            for (to, (name, _)) in biases.iter_mut().zip(&decoder.layout.biases) {
                fill(to, &self.tensors[name]);
            }
        });
        (decoder, weights)
    }

    fn written<R: Real>(&self) -> Said {
        let (decoder, weights) = self.decoder::<R>();
        let (packed, mut work) = (self.packed(), Workspace::default());
        decoder.forward(&weights, &packed, &mut work);
        let rows: Vec<usize> = (0..packed.tokens.len()).collect();
        let logits =
            decoder.logits(&weights, &rows, &mut work).iter().map(|l| l.to_f64()).collect();
        let (rows, targets) = (&packed.predicting, &packed.targets);
        let said = decoder.logprobs(&weights, rows, targets, self.header.temperature, &mut work);
        let sequences = self.sequences();
        let tokens = sequences.iter().map(|tokens| (&tokens[..], 2));
        let temperature = self.header.temperature;
        let further = decoder.mtp_forward(&weights, tokens, &packed, temperature, &mut work);
        for module in 0..further.len() {
            let gradients = self.credit(module).iter().map(|g| R::from_f64(*g));
            decoder.mtp_credit(module, gradients, &mut work);
        }
        let upstream = &self.tensors["token_gradients"];
        let upstream: Vec<R> = upstream.iter().map(|g| R::from_f64(*g)).collect();
        let mut gradient = vec![R::ZERO; decoder.layout.base.len()];
        let into = &mut gradient;
        decoder.backward(
            &weights,
            &packed,
            &upstream,
            self.header.temperature,
            1.0,
            super::into(&decoder.layout, into),
            &mut work,
        );
        let gradients = decoder.layout.base.parameters.iter().map(|parameter| {
            let part = &gradient[parameter.offset..parameter.offset + parameter.len()];
            (parameter.name.clone(), part.iter().map(|g| g.to_f64()).collect())
        });
        Said {
            logits,
            logprobs: said.iter().map(|s| s.logprob.to_f64()).collect(),
            further: further
                .iter()
                .map(|said| said.iter().map(|s| s.logprob.to_f64()).collect())
                .collect(),
            gradients: gradients.collect(),
        }
    }

    fn composed(&self) -> Said {
        let (decoder, weights) = self.decoder::<f64>();
        let variables = variables(&decoder.layout, &weights, DType::F64, &Device::Cpu).unwrap();
        let biases = weights.biases().to_vec();
        let model = Composed::new(&self.header.plan, &variables, biases, &Device::Cpu).unwrap();
        let packed = self.packed();
        let pass = model.pass(&packed).unwrap();
        let said = model.token_logprobs(&pass, &packed, self.header.temperature).unwrap();
        let upstream = Tensor::new(&self.tensors["token_gradients"][..], &Device::Cpu).unwrap();
        let mut total = (&said * upstream).unwrap().sum_all().unwrap();
        let sequences = self.sequences();
        let tokens = sequences.iter().map(|tokens| (&tokens[..], 2));
        let further = model.mtp(&pass, tokens, &packed, self.header.temperature).unwrap();
        for (module, one) in further.iter().enumerate() {
            let upstream = Tensor::new(self.credit(module), &Device::Cpu).unwrap();
            total = (total + (&one.logprobs * upstream).unwrap().sum_all().unwrap()).unwrap();
        }
        let grads = total.backward().unwrap();
        let gradients = variables
            .iter()
            .filter_map(|(name, variable)| Some((name.clone(), flat(grads.get(variable)?))));
        Said {
            logits: flat(&model.logits(&pass.residual).unwrap()),
            logprobs: flat(&said),
            further: further.iter().map(|one| flat(&one.logprobs)).collect(),
            gradients: gradients.collect(),
        }
    }

    fn assert_said(&self, name: &str, said: &Said, tolerance: f64) {
        let mut logits = Vec::new();
        for n in 0..2 {
            let all = &self.tensors[&format!("logits.{n}")];
            // The row of a sequence's last token is not computed here: it predicts nothing.
            logits.extend(&all[..all.len() - VOCABULARY]);
        }
        assert_close(&format!("{name}: logits"), &said.logits, &logits, tolerance);
        assert_close(
            &format!("{name}: log-probs"),
            &said.logprobs,
            &self.tensors["logprobs"],
            tolerance,
        );
        let modules = self.header.plan.mtp.as_ref().map_or(0, |mtp| mtp.depth);
        assert_eq!(said.further.len(), modules);
        for (module, found) in said.further.iter().enumerate() {
            let expected = &self.tensors[&format!("mtp_logprobs.{module}")];
            assert_close(&format!("{name}: module {module}"), found, expected, tolerance);
        }
        let expected: BTreeMap<&str, &Vec<f64>> = self
            .tensors
            .iter()
            .filter_map(|(name, values)| Some((name.strip_prefix("gradient.")?, values)))
            .collect();
        assert!(said.gradients.keys().all(|name| expected.contains_key(&name[..])));
        for (parameter, expected) in expected {
            let found = &said.gradients[parameter];
            assert!(expected.iter().any(|g| *g != 0.0), "{name}: {parameter} has no gradient");
            assert_close(&format!("{name}: {parameter}"), found, expected, tolerance);
        }
    }
}

fn fill<R: Real>(to: &mut [R], from: &[f64]) {
    assert_eq!(to.len(), from.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = R::from_f64(*from);
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    let size = b.iter().fold(0f64, |size, b| size.max(b.abs()));
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * size, "{what}[{index}]: {a} against {b}");
    }
}

#[test]
fn the_hand_written_passes_agree_with_hugging_face() {
    for (name, bytes) in GOLDENS {
        let golden = Golden::read(bytes);
        golden.assert_said(name, &golden.written::<f64>(), TOLERANCE);
        golden.assert_said(name, &golden.written::<f32>(), 3.0 * TOLERANCE);
    }
}

#[test]
fn the_composed_model_agrees_with_hugging_face() {
    for (name, bytes) in GOLDENS {
        let golden = Golden::read(bytes);
        golden.assert_said(name, &golden.composed(), TOLERANCE);
    }
}

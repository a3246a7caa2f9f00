//! The hand-written passes against the model composed of candle tensors, for every shape: logits, and the
//! gradient of every parameter. The two share the layout and nothing of the arithmetic around it.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use r1x_core::Rng;
use r1x_core::plan::ModelPlan;
use r1x_ops::Real;

use super::{shapes, value_shapes};
use crate::blocks::{BlockPool, BlockTable};
use crate::error::ModelError;
use crate::family::composed::{Composed, TensorBlocks, variables};
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::generate::pass::Pass;
use crate::weights::Weights;

const VOCABULARY: usize = 13;
const TEMPERATURE: f64 = 0.8;
const BALANCE_WEIGHT: f64 = 1.0 / 3.0;

/// One model twice, and sequences for it.
struct Case<R: Real> {
    decoder: Decoder<R>,
    weights: Weights<R>,
    variables: BTreeMap<String, Var>,
    composed: Composed,
    packed: Packed,
    token_gradients: Vec<f64>,
}

impl<R: Real> Case<R> {
    /// The first seed whose sequences reach every expert, so that every parameter has a gradient.
    fn new(plan: &ModelPlan, dtype: DType) -> Self {
        let mut cases = (0..100).map(|seed| Self::seeded(plan, dtype, seed));
        cases.find(|case| case.unreached() == 0).expect("a seed reaches all")
    }

    fn seeded(plan: &ModelPlan, dtype: DType, seed: u64) -> Self {
        let decoder = Decoder::new(plan);
        let mut weights = Weights::<R>::random(&decoder.layout, &Rng::new(seed));
        let mut draws = Rng::new(12).stream("case").at(&[]);
        // Gains away from one and biases away from zero, so that a forgotten factor shows.
        weights.edit(&decoder.layout, 1, |values, biases| {
            values.iter_mut().for_each(|v| *v += R::from_f64(0.1 * draws.normal()));
            biases.iter_mut().flatten().for_each(|b| *b = R::from_f64(0.05 * draws.normal()));
        });
        // One sequence has a single token, which predicts nothing and has no row.
        let sequences: Vec<Vec<u32>> = [29, 1, 4, 17]
            .iter()
            .map(|len| (0..*len).map(|_| draws.below(VOCABULARY as u64) as u32).collect())
            .collect();
        let packed = Packed::new(sequences.iter().map(|s| (&s[..], 2.min(s.len()))));
        let token_gradients = packed.targets.iter().map(|_| draws.normal()).collect();
        let variables = variables(&decoder.layout, &weights, dtype, &Device::Cpu).unwrap();
        let biases = weights.biases().iter();
        let biases = biases.map(|layer| layer.iter().map(|bias| bias.to_f64()).collect()).collect();
        let composed = Composed::new(plan, &variables, biases, &Device::Cpu).unwrap();
        Self { decoder, weights, variables, composed, packed, token_gradients }
    }

    /// Experts no row chose.
    fn unreached(&self) -> usize {
        let (mut work, packed) = (Workspace::default(), &self.packed);
        self.decoder.forward(&self.weights, packed, &mut work);
        self.decoder.loads(&work).iter().flatten().filter(|load| **load == 0).count()
    }

    fn written_logits(&self) -> Vec<f64> {
        let mut work = Workspace::default();
        let packed = &self.packed;
        self.decoder.forward(&self.weights, packed, &mut work);
        let rows: Vec<usize> = (0..packed.tokens.len()).collect();
        let logits = self.decoder.logits(&self.weights, &rows, &mut work);
        logits.iter().map(|logit| logit.to_f64()).collect()
    }

    fn composed_logits(&self) -> Vec<f64> {
        let logits = self.composed.forward(&self.packed).unwrap();
        assert_eq!(logits.dims(), [self.packed.tokens.len(), VOCABULARY]);
        flat(&logits)
    }

    /// What is said, balance loss, and the gradient of their weighted sum in layout order.
    fn written_gradient(&self) -> (Vec<f64>, f64, Vec<R>) {
        let (mut work, packed, weights) = (Workspace::default(), &self.packed, &self.weights);
        self.decoder.forward(weights, packed, &mut work);
        let (rows, targets) = (&packed.predicting, &packed.targets);
        let said = self.decoder.say(weights, rows, targets, TEMPERATURE, &mut work);
        let upstream: Vec<R> = self.token_gradients.iter().map(|g| R::from_f64(*g)).collect();
        let mut gradient = vec![R::ZERO; self.decoder.layout.trained().len()];
        let into = &mut gradient;
        let balance = self.decoder.backward(
            weights,
            packed,
            &upstream,
            TEMPERATURE,
            BALANCE_WEIGHT,
            super::into(&self.decoder.layout, into),
            &mut work,
        );
        (said.iter().map(|s| s.to_f64()).collect(), balance, gradient)
    }

    /// What is said, balance loss and gradients by parameter name from candle's tape; experts nobody chose are left out.
    fn composed_gradient(&self) -> (Vec<f64>, f64, BTreeMap<String, Vec<f64>>) {
        let (model, packed) = (&self.composed, &self.packed);
        let pass = model.pass(packed).unwrap();
        let said = model.say(&pass, packed, TEMPERATURE).unwrap();
        let balance = model.balance_loss(&pass, packed, BALANCE_WEIGHT).unwrap();
        let upstream = Tensor::new(&self.token_gradients[..], &Device::Cpu).unwrap();
        let upstream = upstream.to_dtype(said.dtype()).unwrap();
        let weighted = (&said * upstream).unwrap().sum_all().unwrap();
        let grads = (weighted + &balance).unwrap().backward().unwrap();
        let gradients = self
            .variables
            .iter()
            .filter_map(|(name, variable)| Some((name.clone(), flat(grads.get(variable)?))));
        (flat(&said), flat(&balance)[0], gradients.collect())
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    let size = b.iter().fold(1f64, |size, b| size.max(b.abs()));
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * size, "{what}[{index}]: {a} against {b}");
    }
}

#[test]
fn logits_are_those_of_the_hand_written_pass() {
    for (name, plan) in shapes() {
        let double = Case::<f64>::new(&plan, DType::F64);
        assert_close(name, &double.written_logits(), &double.composed_logits(), 1e-9);
        let single = Case::<f32>::new(&plan, DType::F32);
        assert_close(name, &single.written_logits(), &single.composed_logits(), 1e-4);
    }
}

#[test]
fn every_gradient_is_that_of_the_hand_written_backward_pass() {
    for (name, plan) in shapes().into_iter().chain(value_shapes()) {
        let case = Case::<f64>::new(&plan, DType::F64);
        let (said, balance, written) = case.written_gradient();
        let (expected, expected_balance, mut composed) = case.composed_gradient();
        assert_close(&format!("{name}: what is said"), &said, &expected, 1e-10);
        assert_close(&format!("{name}: balance"), &[balance], &[expected_balance], 1e-12);
        for parameter in &case.decoder.layout.trained().parameters {
            let found = &written[case.decoder.layout.trained().place(parameter)];
            let expected = composed.remove(&parameter.name).unwrap_or_default();
            let size = expected.iter().fold(0f64, |size, g| size.max(g.abs()));
            assert!(size > 0.0, "{name}: {} has no gradient", parameter.name);
            for (element, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (a - b).abs() <= 1e-8 * size,
                    "{name}: {}[{element}]: {a} against {b}",
                    parameter.name
                );
            }
        }
        assert!(composed.is_empty(), "{name}: left over {:?}", composed.keys());
    }
}

#[test]
fn single_precision_gradients_agree_and_experts_nobody_chose_have_none() {
    let mut unreached = 0;
    for (name, plan) in shapes() {
        let case = Case::<f32>::seeded(&plan, DType::F32, 11);
        let (_, _, written) = case.written_gradient();
        let (_, _, composed) = case.composed_gradient();
        let mut left_out = 0;
        for parameter in &case.decoder.layout.trained().parameters {
            let found = &written[case.decoder.layout.trained().place(parameter)];
            let found: Vec<f64> = found.iter().map(|g| f64::from(*g)).collect();
            let Some(expected) = composed.get(&parameter.name) else {
                assert!(found.iter().all(|g| *g == 0.0), "{name}: {}", parameter.name);
                left_out += 1;
                continue;
            };
            assert_close(&format!("{name}: {}", parameter.name), &found, expected, 1e-4);
        }
        // The gate, up and down projections of every expert that was left out, and nothing else.
        assert_eq!(left_out, 3 * case.unreached(), "{name}");
        unreached += case.unreached();
    }
    assert!(unreached > 0, "the seed was chosen so that some experts are left out");
}

#[test]
fn a_sequence_is_computed_as_if_it_were_alone() {
    for (name, plan) in shapes() {
        let case = Case::<f64>::new(&plan, DType::F64);
        let together = case.composed_logits();
        for pair in case.packed.boundaries.windows(2).filter(|pair| pair[0] < pair[1]) {
            let mut alone = case.packed.tokens[pair[0]..pair[1]].to_vec();
            alone.push(0);
            let packed = Packed::new([(&alone[..], 1)]);
            let logits = flat(&case.composed.forward(&packed).unwrap());
            let part = pair[0] * VOCABULARY..pair[1] * VOCABULARY;
            assert_close(name, &logits, &together[part], 1e-12);
        }
    }
}

/// A model with blocks, and the rows of its next pass.
struct Decoding {
    model: Composed,
    pool: BlockPool,
    blocks: TensorBlocks,
    pass: Pass,
}

impl Decoding {
    fn new(model: &Composed) -> Self {
        let model = model.frozen();
        let (pool, blocks, pass) = (BlockPool::default(), model.blocks(), Pass::default());
        Self { model, pool, blocks, pass }
    }

    /// Adds rows of a sequence, of which the last one's logits are wanted, with blocks for what it has said by then.
    fn push(&mut self, table: &mut BlockTable, before: usize, tokens: &[u32]) {
        self.pool.extend(table, before + tokens.len());
        let list = self.pass.list(table);
        for (index, token) in tokens.iter().enumerate() {
            self.pass.push(*token, before + index, list);
        }
        self.pass.want();
    }

    /// Logits of the wanted rows.
    fn compute(&mut self) -> Result<Vec<f64>, ModelError> {
        let (blocks, pass) = (&mut self.blocks, std::mem::take(&mut self.pass));
        self.pool.settle(|changes| blocks.change(changes))?;
        let residual = self.model.decode(&pass.tokens, pass.rows(), blocks)?;
        let rows: Vec<u32> = pass.wanted.iter().map(|row| *row as u32).collect();
        let rows = Tensor::new(rows, residual.device())?;
        Ok(flat(&self.model.logits(&residual.index_select(&rows, 0)?)?))
    }
}

/// Prompts shorter than a block, of several, and of whole ones, computed at once and in parts; the middle one goes on
/// twice, and the first is given back.
#[test]
fn decoding_a_token_at_a_time_gives_the_logits_of_whole_sequences() {
    for (name, plan) in shapes() {
        let mut case = Case::<f64>::new(&plan, DType::F64);
        let mut draws = Rng::new(3).stream("sequences").at(&[]);
        let sequences: Vec<Vec<u32>> = [51, 34, 4]
            .iter()
            .map(|len| (0..*len).map(|_| draws.below(VOCABULARY as u64) as u32).collect())
            .collect();
        // One token more, which predicts nothing and has no row.
        let longer: Vec<Vec<u32>> = sequences.iter().map(|s| [&s[..], &[0]].concat()).collect();
        case.packed = Packed::new(longer.iter().map(|s| (&s[..], 1)));
        let (whole, ends) = (case.composed_logits(), &case.packed.boundaries[1..]);
        let at = |places: &[usize], back: usize| -> Vec<f64> {
            let rows = places.iter().map(|place| ends[*place] - back);
            rows.flat_map(|row| whole[(row - 1) * VOCABULARY..row * VOCABULARY].to_vec()).collect()
        };
        // Their last two tokens are decoded.
        let prompts: Vec<&[u32]> = sequences.iter().map(|s| &s[..s.len() - 2]).collect();
        for part in [100, 32, 7] {
            let mut decoding = Decoding::new(&case.composed);
            let mut tables = Vec::new();
            let mut found = Vec::new();
            for prompt in &prompts {
                let mut table = BlockTable::default();
                let mut before = 0;
                for tokens in prompt.chunks(part) {
                    decoding.push(&mut table, before, tokens);
                    before += tokens.len();
                    if part < 100 {
                        found = decoding.compute().unwrap();
                    }
                }
                tables.push(table);
            }
            if part == 100 {
                found = decoding.compute().unwrap();
                assert_close(name, &found, &at(&[0, 1, 2], 2), 1e-12);
            } else {
                assert_close(name, &found, &at(&[2], 2), 1e-12);
            }
            let order = [1, 2, 1];
            let fork = |place: usize| decoding.pool.fork(&tables[place], prompts[place].len());
            let mut forks = order.map(fork);
            tables.into_iter().for_each(|table| decoding.pool.release(table));
            for back in [1, 0] {
                for (place, table) in order.iter().zip(&mut forks) {
                    let at = sequences[*place].len() - 1 - back;
                    decoding.push(table, at, &sequences[*place][at..=at]);
                }
                assert_close(name, &decoding.compute().unwrap(), &at(&order, back), 1e-12);
            }
        }
    }
}

#[test]
fn blocks_of_another_sequence_are_cleared() {
    let (_, plan) = shapes().swap_remove(0);
    let case = Case::<f64>::new(&plan, DType::F64);
    let mut decoding = Decoding::new(&case.composed);
    let tokens: Vec<u32> = (0..40).map(|token| token % 13).collect();
    let mut table = BlockTable::default();
    decoding.push(&mut table, 0, &tokens);
    let first = decoding.compute().unwrap();
    let used = table.blocks().to_vec();
    let poison = (decoding.blocks.first_layer() * f64::NAN).unwrap();
    decoding.blocks.first_layer().slice_set(&poison, 1, 0).unwrap();
    decoding.pool.release(table);
    // A pass over nothing old makes the blocks free.
    let mut other = BlockTable::default();
    decoding.push(&mut other, 0, &tokens[..1]);
    decoding.compute().unwrap();
    let mut again = BlockTable::default();
    for (at, token) in tokens.iter().enumerate() {
        decoding.push(&mut again, at, &[*token]);
        let found = decoding.compute().unwrap();
        if at + 1 == tokens.len() {
            assert_close("logits", &found, &first, 1e-12);
        }
    }
    assert_eq!(again.blocks(), used);
}

#[test]
fn a_snapshot_keeps_its_numbers_and_a_frozen_model_does_not() {
    let (_, plan) = shapes().swap_remove(0);
    let case = Case::<f64>::new(&plan, DType::F64);
    let (snapshot, frozen) = (case.composed.snapshot().unwrap(), case.composed.frozen());
    let before = case.composed_logits();
    for variable in case.variables.values() {
        variable.set(&(variable.as_detached_tensor() * 1.5).unwrap()).unwrap();
    }
    let after = case.composed_logits();
    assert_ne!(before, after);
    assert_eq!(flat(&snapshot.forward(&case.packed).unwrap()), before);
    assert_eq!(flat(&frozen.forward(&case.packed).unwrap()), after);
    assert!(!frozen.forward(&case.packed).unwrap().track_op());
}

#[test]
fn decoding_that_makes_no_sense_is_refused() {
    let (_, plan) = shapes().swap_remove(0);
    let mut decoding = Decoding::new(&Case::<f64>::new(&plan, DType::F64).composed);
    let mut table = BlockTable::default();
    decoding.push(&mut table, 0, &[1, 13]);
    assert!(matches!(
        decoding.compute().map(|_| ()),
        Err(ModelError::UnknownToken { token: 13, size: 13 })
    ));
    decoding.push(&mut table, 0, &[1; 63]);
    decoding.compute().unwrap();
    decoding.push(&mut table, 63, &[1]);
    decoding.compute().unwrap();
    decoding.push(&mut table, 64, &[1]);
    assert!(matches!(
        decoding.compute().map(|_| ()),
        Err(ModelError::TooLong { length: 65, limit: 64 })
    ));
    let Decoding { model, blocks, .. } = &decoding;
    let mut pass = Pass::default();
    assert!(model.decode(&[], pass.rows(), blocks).is_err());
    let list = pass.list(&table);
    pass.push(1, 0, list);
    assert!(model.decode(&[1, 1], pass.rows(), blocks).is_err());
}

#[test]
fn parameters_and_tokens_that_do_not_fit_are_named() {
    let (_, plan) = shapes().swap_remove(4);
    let case = Case::<f64>::new(&plan, DType::F64);
    let biases = || vec![vec![0.0; 4]; 2];
    let build = |variables: &BTreeMap<String, Var>, biases| {
        Composed::new(&plan, variables, biases, &Device::Cpu).map(|_| ())
    };
    let message = |result: Result<(), ModelError>| result.unwrap_err().to_string();
    build(&case.variables, biases()).unwrap();

    let mut wrong = case.variables.clone();
    wrong.remove("model.norm.weight");
    assert_eq!(message(build(&wrong, biases())), "parameter model.norm.weight is missing");
    let square = Tensor::zeros((2, 2), DType::F64, &Device::Cpu).unwrap();
    wrong.insert("model.norm.weight".to_owned(), Var::from_tensor(&square).unwrap());
    assert!(message(build(&wrong, biases())).contains("has shape [2, 2], the plan says [10]"));
    let single = Tensor::zeros(10, DType::F32, &Device::Cpu).unwrap();
    wrong.insert("model.norm.weight".to_owned(), Var::from_tensor(&single).unwrap());
    assert!(message(build(&wrong, biases())).contains("is F32, the embedding is F64"));
    assert!(message(build(&case.variables, vec![vec![0.0; 4]])).contains("has 0 biases for 4"));

    let forward = |tokens: &[u32]| case.composed.forward(&Packed::new([(tokens, 1)])).map(|_| ());
    assert!(matches!(forward(&[13, 0]), Err(ModelError::UnknownToken { token: 13, size: 13 })));
    assert!(matches!(forward(&[0; 66]), Err(ModelError::TooLong { length: 65, limit: 64 })));
    assert!(matches!(forward(&[0]), Err(ModelError::Tensor(_))));
}

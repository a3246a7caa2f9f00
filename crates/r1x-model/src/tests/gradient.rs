//! Every trainable parameter of every shape against central finite differences, in f64.

use r1x_core::Rng;
use r1x_core::plan::HeadPlan;

use super::{shapes, value_shapes};
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::family::said::Upstream;
use crate::weights::Weights;

const TEMPERATURE: f64 = 0.8;
const BALANCE_WEIGHT: f64 = 1.0 / 3.0;

struct Case {
    decoder: Decoder<f64>,
    weights: Weights<f64>,
    packed: Packed,
    /// The weights of what is said: of targets, entropies and further tokens.
    upstream: [Vec<f64>; 3],
}

impl Case {
    /// The first seed whose sequences reach every expert: an expert nobody chose has no gradient.
    fn new(plan: &r1x_core::plan::ModelPlan) -> Self {
        let reaches_all = |case: &Self| {
            let mut work = Workspace::default();
            let packed = &case.packed;
            case.decoder.forward(&case.weights, packed, &mut work);
            case.decoder.loads(&work).iter().flatten().all(|load| *load > 0)
        };
        (0..100).map(|seed| Self::seeded(plan, seed)).find(reaches_all).expect("a seed reaches all")
    }

    fn seeded(plan: &r1x_core::plan::ModelPlan, seed: u64) -> Self {
        let decoder = Decoder::new(plan);
        let mut weights = Weights::random(&decoder.layout, &Rng::new(seed));
        let mut draws = Rng::new(5).stream("case").at(&[]);
        // Gains away from one and biases away from zero, so that a forgotten factor shows.
        weights.edit(&decoder.layout, 1, |values, biases| {
            values.iter_mut().for_each(|v| *v += 0.1 * draws.normal());
            biases.iter_mut().flatten().for_each(|b| *b = 0.05 * draws.normal());
        });
        let sequences: Vec<Vec<u32>> = [29, 4, 17]
            .iter()
            .map(|len| (0..*len).map(|_| draws.below(13) as u32).collect())
            .collect();
        let mut packed = Packed::new(sequences.iter().map(|s| (&s[..], 2)));
        let mut upstream =
            [packed.targets.iter().map(|_| draws.normal()).collect(), vec![], vec![]];
        // A value head says neither entropies nor further tokens.
        if plan.head == HeadPlan::Vocabulary {
            (packed.width, packed.further) = (2, [3, 12].repeat(packed.targets.len()));
            upstream[1] = packed.targets.iter().map(|_| draws.normal()).collect();
            upstream[2] = packed.further.iter().map(|_| draws.normal()).collect();
        }
        Self { decoder, weights, packed, upstream }
    }

    fn backward(&self, gradient: &mut [f64]) -> f64 {
        let mut work = Workspace::default();
        let packed = &self.packed;
        self.decoder.forward(&self.weights, packed, &mut work);
        let (rows, weights) = (&packed.predicting, &self.weights);
        let said = self.decoder.answers(weights, rows, packed.asked(), TEMPERATURE, &mut work);
        let [targets, entropies, candidates] = &self.upstream;
        let pairs = said.targets.iter().zip(targets).chain(said.entropies.iter().zip(entropies));
        let pairs = pairs.chain(said.candidates.iter().zip(candidates));
        let loss: f64 = pairs.map(|(said, weight)| said * weight).sum();
        let balance = self.decoder.backward(
            weights,
            packed,
            Upstream { targets, entropies, candidates },
            TEMPERATURE,
            BALANCE_WEIGHT,
            super::into(&self.decoder.layout, gradient),
            &mut work,
        );
        loss + balance
    }

    fn loss_with(&mut self, index: usize, delta: f64) -> f64 {
        let layout = self.decoder.layout.clone();
        self.weights.edit(&layout, 1, |values, _| values[index] += delta);
        let loss = self.backward(&mut vec![0.0; layout.trained().len()]);
        self.weights.edit(&layout, 1, |values, _| values[index] -= delta);
        loss
    }
}

#[test]
fn every_parameter_of_every_shape_equals_finite_differences() {
    for (name, plan) in shapes().into_iter().chain(value_shapes()) {
        let mut case = Case::new(&plan);
        let mut gradient = vec![0.0; case.decoder.layout.trained().len()];
        case.backward(&mut gradient);
        for parameter in case.decoder.layout.trained().parameters.clone() {
            let range = case.decoder.layout.trained().place(&parameter);
            let part = &gradient[range.clone()];
            assert!(part.iter().all(|g| g.is_finite()), "{name}: {} is not finite", parameter.name);
            assert!(part.iter().any(|g| *g != 0.0), "{name}: {} has no gradient", parameter.name);
            // The largest element, and two at fixed places.
            let largest = (0..part.len()).max_by(|a, b| part[*a].abs().total_cmp(&part[*b].abs()));
            for element in [largest.unwrap(), 0, part.len() - 1] {
                let index = range.start + element;
                let delta = 1e-5;
                let numeric =
                    (case.loss_with(index, delta) - case.loss_with(index, -delta)) / (2.0 * delta);
                let found = gradient[index];
                let tolerance = 1e-7 + 1e-6 * found.abs().max(numeric.abs());
                assert!(
                    (found - numeric).abs() < tolerance,
                    "{name}: {}[{element}]: {found} against {numeric}",
                    parameter.name
                );
            }
        }
    }
}

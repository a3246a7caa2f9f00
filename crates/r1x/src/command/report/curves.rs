//! The curves of a report: a small picture of each metric worth a look, stage by stage.

use plotters::prelude::SVGBackend;
use r1x_store::{RunCard, Store};

use crate::failure::{Failure, code};
use crate::picture::{Curve, Legend, Picture, window};

/// Metrics worth a look, the most telling first; those of single rewards come behind the first.
const TELLING: [&str; 14] = [
    "reward.mean",
    "loss",
    "accuracy",
    "heldout.accuracy",
    "margin",
    "kept.share",
    "entropy",
    "tokens.mean",
    "truncated",
    "zero_signal",
    "kl",
    "grad_norm",
    "critic.explained_variance",
    "logprob_diff_max",
];

/// Pictures of a stage at most.
const MOST: usize = 12;

/// Points of a curve at most; of a longer one every so many steps one is drawn, as the mean of them.
const MOST_POINTS: usize = 600;

/// Width and height of a picture.
const SIZE: (u32, u32) = (400, 240);

/// The curves of a stage.
#[derive(Debug, serde::Serialize)]
pub struct StageCurves {
    /// Id of the stage.
    pub stage: String,
    /// What is drawn, in words.
    pub drawn: String,
    /// The pictures, as SVG.
    pub pictures: Vec<String>,
}

/// The curves of every stage of a run that has any.
///
/// # Errors
/// When the store cannot be read.
pub fn of(store: &Store, card: &RunCard) -> Result<Vec<StageCurves>, Failure> {
    let mut found = Vec::new();
    for stage in &card.stages {
        let of_stage = card.metrics.iter().filter(|point| point.stage_index == stage.index);
        let names: Vec<&str> = of_stage.map(|point| point.metric.as_str()).collect();
        let mut pictures = Vec::new();
        for metric in chosen(&names) {
            let series = store.curve(&card.run.name, Some(&stage.name), metric)?;
            if series.points.iter().filter(|(_, value)| value.is_finite()).count() > 1 {
                pictures.push(drawn(metric, &series.points)?);
            }
        }
        if !pictures.is_empty() {
            let steps = usize::try_from(stage.steps).unwrap_or_default();
            found.push(StageCurves { stage: stage.name.clone(), drawn: said(steps), pictures });
        }
    }
    Ok(found)
}

/// The metrics of a stage that are drawn.
fn chosen<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let of = |wanted: &str| names.iter().copied().find(|name| *name == wanted);
    let single = |name: &&&str| {
        let of_reward = name.strip_prefix("reward.");
        of_reward.is_some_and(|rest| !["mean", "std", "unscored"].contains(&rest))
    };
    let (first, rest) = TELLING.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let mut chosen: Vec<&str> = of(first).into_iter().collect();
    chosen.extend(names.iter().filter(single).copied());
    chosen.extend(rest.iter().filter_map(|wanted| of(wanted)));
    chosen.truncate(MOST);
    chosen
}

/// What a picture shows, in words.
fn said(steps: usize) -> String {
    let each = steps.div_ceil(MOST_POINTS).max(1);
    let of = match each {
        1 => "every step".to_owned(),
        each => format!("means of {each} steps"),
    };
    match window(steps.div_ceil(each)) {
        1 => of,
        points => format!("{of} (faint), and a moving average over {points} of them"),
    }
}

fn drawn(metric: &str, points: &[(u64, f64)]) -> Result<String, Failure> {
    let each = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |steps: &[(u64, f64)]| {
        let values = || steps.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
        (steps[0].0 as f64, values().sum::<f64>() / values().count() as f64)
    };
    let points: Vec<(f64, f64)> = points.chunks(each).map(mean).collect();
    let window = window(points.len());
    let curves = vec![Curve { name: String::new(), points, errors: None }];
    let (steps, legend) = ("step".to_owned(), Legend::Elsewhere);
    let picture = Picture { curves, metric, window, steps, legend };
    let mut svg = String::new();
    picture.draw(SVGBackend::with_string(&mut svg, SIZE)).map_err(|error| {
        let message = format!("`{metric}` cannot be drawn: {error}");
        Failure::new(code::INTERNAL, message, "please report this")
    })?;
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_rewards_come_behind_their_mean_and_there_is_an_end() {
        let names = ["loss", "reward.format", "lr", "reward.std", "reward.mean", "entropy"];
        assert_eq!(chosen(&names), ["reward.mean", "reward.format", "loss", "entropy"]);
        let many: Vec<String> = (0..40).map(|number| format!("reward.r{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(chosen(&many).len(), MOST);
    }

    #[test]
    fn a_long_curve_is_drawn_in_means_and_says_so() {
        assert_eq!(said(10), "every step");
        assert!(said(6_000).starts_with("means of 10 steps"));
        let points: Vec<(u64, f64)> = (0..6_000).map(|step| (step, step as f64)).collect();
        let svg = drawn("loss", &points).unwrap();
        assert!(svg.starts_with("<svg") && svg.len() < 60_000, "{}", svg.len());
    }
}

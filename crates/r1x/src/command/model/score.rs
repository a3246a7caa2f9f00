//! `r1x model score`: log-probs of given tokens under a published model, to compare with its reference.

use std::path::PathBuf;

use r1x_core::PortError;
use r1x_core::plan::Precision;
use r1x_model::published::Published;
use r1x_model::published::score::{Asked, PublishedScorer, Score};
use serde_json::{Map, Value, json};

use crate::display::{Page, Table};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::table;

/// More than any list of token ids takes, bytes.
const MOST_BYTES: u64 = 1 << 30;
/// How a file of token ids looks.
const FORM: &str = "a line is a JSON list of token ids, such as [1, 4093, 198]";

/// What is to be scored, and with what.
pub struct Request {
    /// The model's folder or file.
    pub model: PathBuf,
    /// The file of token ids.
    pub ids: PathBuf,
    /// What factors of products are rounded to.
    pub precision: Precision,
    /// Threads of the CPU.
    pub threads: usize,
    /// Whether norms of gradients are asked for.
    pub grad_norms: bool,
}

/// Prints the log-probs of every line of a file: one JSON object a line, or a table of their means.
///
/// # Errors
/// When the model or the file cannot be read, or a token is none of the model's.
pub fn score(request: &Request, json: bool) -> Result<i32, Failure> {
    let sequences = sequences(request)?;
    let published = Published::open(&request.model).map_err(PortError::from)?;
    let asked = if request.grad_norms { Asked::GradientNorms } else { Asked::Logprobs };
    let scorer = PublishedScorer::load(&published, request.precision, asked);
    let scorer = scorer.map_err(PortError::from)?;
    let scores = scorer.score(&sequences, request.threads).map_err(PortError::from)?;
    if json {
        scores.iter().for_each(|score| output::json(&object(score).to_string()));
    } else {
        output::page(Stream::Out, &page(&sequences, &scores));
    }
    Ok(0)
}

fn sequences(request: &Request) -> Result<Vec<Vec<u32>>, Failure> {
    let path = request.ids.display();
    let fail = |message: String| Failure::new(code::INPUT, message, FORM);
    let text = r1x_files::read_text_or_pipe(&request.ids, MOST_BYTES)
        .map_err(|error| fail(format!("{path}: {error}")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let sequence = |(index, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| fail(format!("{path}, line {}: {error}", index + 1)))
    };
    lines.map(sequence).collect()
}

fn object(score: &Score) -> Value {
    let mut object = Map::new();
    object.insert("logprobs".to_owned(), json!(score.logprobs));
    if !score.gradient_norms.is_empty() {
        let norms = score.gradient_norms.iter().map(|(name, norm)| (name.clone(), json!(norm)));
        object.insert("grad_norms".to_owned(), Value::Object(norms.collect()));
    }
    Value::Object(object)
}

fn page(sequences: &[Vec<u32>], scores: &[Score]) -> Page {
    let rows: Vec<Vec<String>> = sequences
        .iter()
        .zip(scores)
        .enumerate()
        .map(|(index, (tokens, score))| {
            let sum: f64 = score.logprobs.iter().map(|logprob| f64::from(*logprob)).sum();
            let mean = sum / score.logprobs.len().max(1) as f64;
            let count = table::count(tokens.len() as u64);
            vec![
                (index + 1).to_string(),
                count,
                format!("{mean:.5}"),
                format!("{:.4}", (-mean).exp()),
            ]
        })
        .collect();
    let mut page = Page::default();
    page.table(Table::of(&["line", "tokens", "mean log-prob", "perplexity"], &rows));
    page
}

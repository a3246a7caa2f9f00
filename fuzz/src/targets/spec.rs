//! A spec in YAML: read, layered and checked in a world without other files.

use std::io;
use std::path::Path;

use r1x_core::Markup;
use r1x_core::plan::{DataPlan, SourcePlan};
use r1x_spec::{
    DataFacts, DataRefusal, Inputs, PluginFacts, Refusal, Style, TokenizerFacts, resolve,
};

use super::{Read, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "spec",
    reads: "a spec in YAML",
    files: &[
        "experiments/countdown.yaml",
        "experiments/countdown-dense.yaml",
        "experiments/countdown-shaped.yaml",
    ],
    words: &[
        "- ",
        ": ",
        "\n  ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "!!int ",
        "? ",
        "|\n",
        ">-\n",
        "---\n",
        "null",
        "'",
        "\"",
        "\u{feff}",
        "\t",
        "evals: []",
        "extends: spec.yaml",
        ".nan",
        ".inf",
        "0x7fffffffffffffff",
    ],
    make,
};

fn make(_: &Path) -> io::Result<(Read, Vec<Vec<u8>>)> {
    let read = |input: &[u8]| {
        let set = ["seed=3".to_owned()];
        match resolve(Path::new("spec.yaml"), &set, &World { spec: input }) {
            // A plan that resolves can be told and estimated.
            Ok(resolved) => {
                let told = r1x_spec::plan_yaml(&resolved.plan).is_ok();
                let sizes = std::collections::BTreeMap::new();
                r1x_spec::estimate(&resolved.plan, &sizes, 2);
                if told { "ok".to_owned() } else { "untold".to_owned() }
            }
            Err(report) => {
                report.render(Style { unicode: true, color: false, width: None });
                report.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>().join(" ")
            }
        }
    };
    Ok((Box::new(read), Vec::new()))
}

struct World<'a> {
    spec: &'a [u8],
}

impl Inputs for World<'_> {
    fn read(&self, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
        let bytes = match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml") if path == Path::new("spec.yaml") => self.spec,
            Some("wasm") => b"wasm",
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    }

    fn sha256(&self, bytes: &[u8]) -> String {
        format!("{:064x}", bytes.len())
    }

    fn vocabulary(&self, _: &str, _: &DataPlan) -> Result<Vec<String>, String> {
        Ok((0..50).map(|word: u32| word.to_string()).collect())
    }

    fn tokenizer(&self, _: &[u8], _: &[String]) -> Result<TokenizerFacts, String> {
        Ok(TokenizerFacts { tokens: 50, ..TokenizerFacts::default() })
    }

    fn data(&self, _: &str, data: &DataPlan, _: &Markup) -> Result<DataFacts, DataRefusal> {
        let columns = match &data.source {
            SourcePlan::Countdown(_) => vec!["nums".to_owned(), "target".to_owned()],
            _ => vec!["question".to_owned()],
        };
        Ok(DataFacts { columns, problems: Some((10_000, 1_000)), ..DataFacts::default() })
    }

    fn plugin(&self, _: &Path, _: &[u8], _: &str) -> Result<PluginFacts, Refusal> {
        Ok(PluginFacts { name: "any".to_owned(), ..PluginFacts::default() })
    }
}

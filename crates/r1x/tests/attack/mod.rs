//! Plugins that mean harm, on the way that every plugin takes: what they cost the host, and what they make it print.
//!
//! They are written as WebAssembly text, so no compiler is needed. Must not test what a crate can test alone.

mod build;
mod compile;
mod guest;

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{Bench, root};

/// Where a guest's own data begin, and where its heap does.
const TEXT: usize = 1024;
const INFO: usize = 8192;
const HEAP: usize = 65_536;

/// A guest that keeps the contract, until its pieces are replaced.
pub struct Guest {
    /// What stands in its memory from [`TEXT`] on.
    text: String,
    /// Pages of memory at the start.
    pages: usize,
    /// Pointer and length of its description.
    about: (usize, usize),
    /// Pointer and number of its columns.
    columns: (usize, usize),
    /// What happens before it answers; `$n` is the number of rollouts.
    first: String,
    /// What is done to the score at `$score`, which has the reward 0.5 and nothing else.
    each: String,
    /// Further fields of the module.
    more: String,
}

impl Guest {
    pub fn new() -> Self {
        Self {
            text: "toy".to_owned(),
            pages: 4,
            about: (TEXT, 3),
            columns: (0, 0),
            first: String::new(),
            each: String::new(),
            more: String::new(),
        }
    }

    fn module(&self) -> String {
        let words = |values: &[usize]| {
            values.iter().flat_map(|value| (*value as u32).to_le_bytes()).fold(
                String::new(),
                |mut text, byte| {
                    let _ = write!(text, "\\{byte:02x}");
                    text
                },
            )
        };
        // Name, version, description, needs, columns; no further lists, bounds or schema.
        let info = words(&[
            TEXT,
            3,
            TEXT,
            3,
            self.about.0,
            self.about.1,
            0,
            self.columns.0,
            self.columns.1,
        ]);
        let text: String = self.text.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        });
        let Self { pages, first, each, more, .. } = self;
        format!(
            r#"(module
  (import "r1x:reward/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (memory (export "memory") {pages})
  (global $top (mut i32) (i32.const {HEAP}))
  (data (i32.const {TEXT}) "{text}")
  (data (i32.const {INFO}) "{info}")
  (func $take (param $bytes i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $bytes)) (i32.const 7)) (i32.const -8)))
    (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.lt_s (memory.grow (i32.add (i32.shr_u (local.get $bytes) (i32.const 16)) (i32.const 1)))
                          (i32.const 0)) (then unreachable))))
    (local.get $at))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $take (local.get 3)))
  (func (export "info") (result i32) (i32.const {INFO}))
  (func (export "configure") (param i32 i32) (result i32) (call $take (i32.const 32)))
  (func (export "score-batch") (param $batch i32) (param $n i32) (result i32)
    (local $at i32) (local $score i32) (local $end i32) (local $i i32)
    {first}
    (local.set $score (call $take (i32.mul (local.get $n) (i32.const 40))))
    (local.set $end (i32.add (local.get $score) (i32.mul (local.get $n) (i32.const 40))))
    (local.set $at (call $take (i32.const 32)))
    (i32.store offset=4 (local.get $at) (local.get $score))
    (i32.store offset=8 (local.get $at) (local.get $n))
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $score) (local.get $end)))
      (i32.store (local.get $score) (i32.const 1))
      (f64.store offset=8 (local.get $score) (f64.const 0.5))
      {each}
      (local.set $score (i32.add (local.get $score) (i32.const 40)))
      (br $next)))
    (local.get $at))
  {more})"#
        )
    }

    /// The component.
    pub fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.module()).unwrap();
        let mut resolve = Resolve::default();
        let wit = std::fs::read_to_string(root().join("crates/r1x-reward/wit/reward.wit")).unwrap();
        let package = resolve.push_str("reward.wit", &wit).unwrap();
        let world = resolve.select_world(&[package], Some("reward")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    }

    /// The component's path.
    pub fn write(&self, bench: &Bench) -> String {
        let path = bench.folder.path().join("toy.wasm");
        std::fs::write(&path, self.component()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A spec of two steps with this reward.
pub fn spec(bench: &Bench, plugin: &str, more: &str) -> String {
    let rows: String = (0..40).map(|row| format!("{{\"wanted\":{row}}}\n")).collect();
    bench.write("rows.jsonl", &rows);
    let spec = format!(
        "r1x: 1
name: attacked
model:
  tokenizer: {{vocabulary: [a, b, go]}}
  hidden_size: 16
  layers: 1
  context_length: 16
  attention:
    gqa: {{heads: 2, kv_heads: 1, head_dim: 8}}
  feed_forward:
    dense: {{intermediate_size: 16}}
data:
  rows:
    jsonl: {{path: rows.jsonl, columns: [wanted], heldout: 0}}
    prompt: go
rewards:
  toy: {{plugin: {plugin:?}{more}}}
stages:
  - id: rl
    grpo:
      data: rows.train
      rewards: [toy]
      steps: 2
      prompts_per_step: 4
      group_size: 4
      sampling: {{max_tokens: 4}}
      lr: 1e-3
"
    );
    bench.write("attacked.yaml", &spec)
}

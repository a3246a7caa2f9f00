//! The shipped shapes of published models against the numbers of parameters that were published with them.
//!
//! Must not compute with the formulas it checks.

mod common;

use std::path::{Path, PathBuf};

use common::{World, render};
use r1x_core::plan::ModelPlan;
use r1x_spec::{Described, describe, parameters};

/// A shape, its trained parameters, and how many of them a token uses. Totals are those of the weight files: the
/// `total_size` of `model.safetensors.index.json`, or the size in the header of the one file, by the two bytes of a
/// number. They count an output head once where it shares the embedding.
const PUBLISHED: &[(&str, u64, Option<u64>)] = &[
    ("smollm2-135m", 134_515_008, None),
    ("smollm2-360m", 361_821_120, None),
    ("smollm2-1.7b", 1_711_376_384, None),
    ("qwen2.5-0.5b", 494_032_768, None),
    ("qwen2.5-1.5b", 1_543_714_304, None),
    ("qwen2.5-3b", 3_085_938_688, None),
    ("qwen2.5-7b", 7_615_616_512, None),
    ("qwen2.5-14b", 14_770_033_664, None),
    ("qwen2.5-32b", 32_763_876_352, None),
    ("qwen3-0.6b", 596_049_920, None),
    ("qwen3-1.7b", 1_720_574_976, None),
    ("qwen3-4b", 4_022_468_096, None),
    ("qwen3-8b", 8_190_735_360, None),
    // "3.3 B activated" on its page; by hand: 30 532 122 624 − 48 · 120 · 3 · 2048 · 768.
    ("qwen3-30b-a3b", 30_532_122_624, Some(3_353_032_704)),
    ("llama-3.2-1b", 1_235_814_400, None),
    ("llama-3.2-3b", 3_212_749_824, None),
    ("llama-3.1-8b", 8_030_261_248, None),
    ("llama-3.3-70b", 70_553_706_496, None),
    // By hand: 15 706 484 224 − 26 · 58 · 3 · 2048 · 1408.
    ("deepseek-v2-lite", 15_706_484_224, Some(2_661_150_208)),
    // Without the selection biases. "37 B activated" in its report, which leaves the embedding out.
    ("deepseek-v3", 671_026_404_352, Some(37_552_282_624)),
    // By hand: the row above and 11 610 067 968, which are a layer with experts of 11 507 286 016 (attention 187 107 328,
    // router 1 835 008, 257 experts of 44 040 192, two norms of 7168), three norms, and the projection 7168 · 14 336. Its
    // README has 11.5 B.
    ("deepseek-v3-mtp", 682_636_472_320, Some(37_552_282_624)),
    // Nobody published it: by hand from the row of deepseek-v3, 12 dense layers, 49 with 8 + 128 experts.
    ("deepseek-v3-8-shared", 311_552_924_672, Some(52_596_595_712)),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/shapes")
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn model(name: &str) -> ModelPlan {
    let mut world = World::new();
    for name in names() {
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        world.add(&format!("experiments/shapes/{name}.yaml"), &text);
    }
    let path = format!("experiments/shapes/{name}.yaml");
    match describe(Path::new(&path), &[], &world) {
        Ok(Described::Shape(shape)) => shape.model,
        Ok(Described::Run(_)) => panic!("{name} has stages"),
        Err(report) => panic!("{}", render(&report)),
    }
}

#[test]
fn every_shape_has_the_parameters_that_were_published() {
    let mut known: Vec<&str> = PUBLISHED.iter().map(|(name, ..)| *name).collect();
    known.sort_unstable();
    assert_eq!(names(), known, "a shape without a row, or a row without a shape");
    for (name, total, active) in PUBLISHED {
        let found = parameters(&model(name));
        assert_eq!((found.total, found.active), (*total, active.unwrap_or(*total)), "{name}");
    }
}

/// The count that is told everywhere has the biases that steer the choice of experts, 256 in each of 58 layers.
#[test]
fn deepseek_v3_has_671_billion_parameters_with_its_selection_biases() {
    let found = parameters(&model("deepseek-v3"));
    assert_eq!(found.untrained, 58 * 256);
    assert_eq!(found.total + found.untrained, 671_026_419_200);
    assert_eq!(format!("{:.2}", found.active as f64 / 1e9), "37.55");
}

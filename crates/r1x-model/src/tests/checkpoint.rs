//! Checkpoints that somebody has changed, exchanged or damaged, and those of earlier versions.
//!
//! Must not test what is computed with them.

use std::path::{Path, PathBuf};

use r1x_core::port::{Cursor, REFERENCE};
use r1x_core::testing::{self, grpo_stage, sft_stage};
use r1x_core::{Learner, Sampler};
use serde_json::Value;

use super::properties::{batch, kernels, requests, sampling, stream, train};
use super::{ANY, shapes};
use crate::DecoderPolicy;
use crate::checkpoint::{Expected, Home, SavedCursor, sha256, take_back};

/// Inside the second of two stages.
fn cursor() -> Cursor {
    Cursor::at("rl", 3, 96)
}

/// A checkpoint of run `ours`, with everything one can have, and the policy that made it.
struct Saved {
    policy: DecoderPolicy,
    folder: PathBuf,
    sha256: String,
    state_sha256: String,
    _home: tempfile::TempDir,
}

impl Saved {
    fn new() -> Self {
        let (mut policy, home) = kernels(&shapes().remove(0).1, 1);
        let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
        train(&mut policy, &batch(&requests(), &completions), 2);
        policy.freeze(REFERENCE).unwrap();
        policy.home = Home { run: "ours".into(), ..Home::at(home.path().to_owned()) };
        let saved = policy.save("rl/step-000003", &cursor()).unwrap();
        let folder = home.path().join(&saved.path);
        let (sha256, state_sha256) = (saved.sha256, saved.state_sha256);
        Self { policy, folder, sha256, state_sha256, _home: home }
    }

    fn recorded(&self) -> Expected<'_> {
        Expected {
            weights_sha256: Some(&self.sha256),
            state_sha256: Some(&self.state_sha256),
            run: Some("ours"),
        }
    }

    /// How reading it is refused.
    fn refused(&self, expected: &Expected<'_>) -> String {
        let mut policy = kernels(&shapes().remove(0).1, 1).0;
        let before = policy.weights_sha256().unwrap();
        let error = policy.load(&self.folder, expected).unwrap_err().to_string();
        assert_eq!(policy.weights_sha256().unwrap(), before, "nothing was taken: {error}");
        error
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.folder.join("state.json")).unwrap()).unwrap()
    }

    fn write_state(&self, state: &Value) {
        std::fs::write(self.folder.join("state.json"), state.to_string()).unwrap();
    }

    /// Changes the first number of a tensor, and makes every hash fit again as somebody would who knows them.
    fn plant(&self, file: &str, key: &str, tensor: &str, value: f32) {
        let path = self.folder.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        let at = 8 + header + json[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let mut state = self.state();
        state[key] = sha256(&bytes).into();
        self.write_state(&as_format_1(state));
    }
}

/// A state as the first version wrote it, which has no seal.
fn as_format_1(mut state: Value) -> Value {
    let fields = state.as_object_mut().unwrap();
    fields.insert("format".into(), 1.into());
    fields.remove("run");
    fields.remove("seal");
    // It named a stage by its position.
    state["cursor"]["stage"] = 1.into();
    state
}

#[test]
fn what_was_recorded_is_read_and_says_whose_it_is() {
    let saved = Saved::new();
    let mut policy = kernels(&shapes().remove(0).1, 1).0;
    let place = policy.load(&saved.folder, &saved.recorded()).unwrap();
    let found = (place.run.as_deref(), place.cursor.clone(), place.updates);
    assert_eq!(found, (Some("ours"), SavedCursor::from(&cursor()), 2));
    assert_eq!(place, crate::checkpoint::place(&saved.folder).unwrap());
    assert_eq!(policy.weights_sha256().unwrap(), saved.policy.weights_sha256().unwrap());
    saved.write_state(&as_format_1(saved.state()));
    let place = policy.load(&saved.folder, &ANY).unwrap();
    assert_eq!(place.run, None, "one of an earlier version");
    let plan = testing::run(vec![sft_stage(testing::sft(1)), grpo_stage(testing::grpo(9))]);
    assert_eq!(place.cursor.of(&plan), Some(cursor()), "it named the stage by its position");
    assert_eq!(place.cursor.of(&testing::run(Vec::new())), None);
}

#[test]
fn the_checkpoint_of_another_run_is_refused() {
    let saved = Saved::new();
    let of = |run| Expected { run: Some(run), ..ANY };
    assert!(saved.refused(&of("theirs")).contains("it belongs to another run"));
    let other = "00".repeat(32);
    let weights = Expected { weights_sha256: Some(&other), ..ANY };
    assert!(saved.refused(&weights).contains("other weights than those that were recorded"));
    let state = Expected { state_sha256: Some(&other), ..ANY };
    assert!(saved.refused(&state).contains("not the state that was recorded"));
}

#[test]
fn an_edited_state_is_refused_whatever_was_edited() {
    let saved = Saved::new();
    let whole = saved.state();
    let edits = [
        ("/cursor/stage", Value::from(99)),
        ("/cursor/step", 4.into()),
        ("/cursor/drawn", 0.into()),
        ("/updates", u64::MAX.into()),
        ("/run", "theirs".into()),
        ("/seal", "".into()),
    ];
    for (place, value) in edits {
        let mut state = whole.clone();
        *state.pointer_mut(place).unwrap() = value;
        saved.write_state(&state);
        assert!(saved.refused(&ANY).contains("changed after it was written"), "{place}");
        // Who takes the seal away is found out by what was recorded.
        saved.write_state(&as_format_1(state));
        assert!(saved.refused(&saved.recorded()).contains("not the state that was recorded"));
    }
    for (text, said) in [("{", "EOF"), ("{\"format\": 3}", "missing field")] {
        std::fs::write(saved.folder.join("state.json"), text).unwrap();
        assert!(saved.refused(&ANY).contains(said), "{text}");
    }
    let mut newer = whole;
    newer["format"] = 4.into();
    saved.write_state(&newer);
    assert!(saved.refused(&ANY).contains("has format 4"));
}

#[test]
fn numbers_that_no_run_saves_are_refused_whatever_their_hash() {
    let (model, optimizer) = ("model.safetensors", "optimizer.safetensors");
    let name = "model.norm.weight";
    let cases = [
        (model, "model_sha256", name.to_owned(), f32::NAN, "holds NaN"),
        (model, "model_sha256", name.to_owned(), f32::INFINITY, "holds inf"),
        (optimizer, "optimizer_sha256", format!("first.{name}"), f32::NEG_INFINITY, "holds -inf"),
        (optimizer, "optimizer_sha256", format!("second.{name}"), f32::NAN, "holds NaN"),
        (optimizer, "optimizer_sha256", format!("second.{name}"), -1.0, "below zero"),
        (optimizer, "optimizer_sha256", format!("reference.{name}"), f32::NAN, "holds NaN"),
    ];
    for (file, key, tensor, value, said) in cases {
        let saved = Saved::new();
        saved.plant(file, key, &tensor, value);
        let error = saved.refused(&ANY);
        assert!(error.contains(said) && error.contains(file), "{tensor} {value}: {error}");
    }
    let saved = Saved::new();
    saved.plant(model, "model_sha256", name, f32::NAN);
    let mut policy = kernels(&shapes().remove(0).1, 1).0;
    assert!(policy.load_weights(&saved.folder, &ANY).is_err(), "nor are they sampled from");
}

#[test]
fn files_that_have_no_end_are_not_read() {
    let saved = Saved::new();
    let longer = |name: &str, bytes: u64| {
        let file = std::fs::OpenOptions::new().append(true).open(saved.folder.join(name)).unwrap();
        file.set_len(bytes).unwrap();
    };
    longer("optimizer.safetensors", 1 << 40);
    assert!(saved.refused(&ANY).contains("has more than"));
    longer("model.safetensors", 1 << 40);
    assert!(saved.refused(&ANY).contains("has more than"));
    longer("state.json", 1 << 40);
    assert!(saved.refused(&ANY).contains("has more than"));
}

#[test]
#[cfg(unix)]
fn a_pipe_in_the_place_of_a_file_is_refused_without_waiting() {
    for name in ["state.json", "model.safetensors", "optimizer.safetensors"] {
        let saved = Saved::new();
        let path = saved.folder.join(name);
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(saved.refused(&ANY).contains("not a regular file"), "{name}");
    }
}

/// Between the two renames nobody has the name, and the old checkpoint is whole under another one.
#[test]
fn a_checkpoint_that_was_about_to_be_replaced_gets_its_name_back() {
    let saved = Saved::new();
    let run = saved.folder.parent().unwrap().parent().unwrap().to_owned();
    let aside = saved.folder.with_extension("replaced");
    std::fs::rename(&saved.folder, &aside).unwrap();
    std::fs::create_dir(saved.folder.with_extension("partial")).unwrap();
    take_back(&run).unwrap();
    assert!(!aside.exists());
    let mut policy = kernels(&shapes().remove(0).1, 1).0;
    policy.load(&saved.folder, &saved.recorded()).unwrap();
    // One that has been replaced stays aside, whoever has the name now.
    std::fs::create_dir(&aside).unwrap();
    take_back(&run).unwrap();
    assert!(aside.exists() && saved.folder.join("state.json").exists());
}

/// A save that fails at its last moment leaves what was there before.
#[test]
fn a_save_that_cannot_take_the_name_leaves_the_old_checkpoint() {
    let mut saved = Saved::new();
    let before = saved.state();
    // A file in the place of the folder that is written first: nothing can be written below it.
    std::fs::write(saved.folder.with_extension("partial"), "in the way").unwrap();
    saved.policy.save("rl/step-000003", &Cursor::at("rl", 4, 128)).unwrap_err();
    assert_eq!(saved.state(), before);
}

#[test]
fn what_a_stopped_program_left_behind_is_in_nobodys_way() {
    let mut saved = Saved::new();
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let stage = saved.folder.parent().unwrap().to_owned();
    // What a stopped program left behind is in nobody's way.
    for suffix in [".partial", ".replaced"] {
        std::fs::create_dir(stage.join(format!("step-000003{suffix}"))).unwrap();
    }
    saved.policy.save("rl/step-000003", &cursor()).unwrap();
    assert_eq!(names(&stage), ["step-000003"]);
    assert_eq!(names(&saved.folder), ["model.safetensors", "optimizer.safetensors", "state.json"]);
}

//! Where the files of a recorded plan are now: a run may be gone on with from another folder, or be moved with all its
//! files.
//!
//! A plan has hashes of what it read, so a file found in the wrong place is noticed. Must not read any.

use std::path::{Path, PathBuf};

use r1x_core::plan::{InitialWeights, ModelPlan, RewardPlan, RunPlan, SourcePlan, TokenizerPlan};

/// Folders in which relative paths of a plan may begin, the likeliest first: where the run was started, here, and every
/// folder above its store.
pub fn folders(started: Option<&str>, store: &Path) -> Vec<PathBuf> {
    let store = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    let above = store.ancestors().skip(1).map(Path::to_owned);
    started.map(PathBuf::from).into_iter().chain([PathBuf::new()]).chain(above).collect()
}

/// The first folder's file at this path.
pub fn find(path: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(path)).find(|path| path.exists())
}

/// Makes every relative path of a plan one that leads to a file, where one of the folders has it.
pub fn relocate(plan: &mut RunPlan, folders: &[PathBuf]) {
    each_path(plan, &mut |path| moved(path, folders));
}

/// Hands over every path of a plan.
pub fn each_path(plan: &mut RunPlan, place: &mut dyn FnMut(&mut String)) {
    let plugins = plan.rewards.iter_mut().filter_map(RewardPlan::plugin_mut);
    plugins.for_each(|plugin| place(&mut plugin.path));
    for data in plan.data.values_mut() {
        if let SourcePlan::Rows { path, .. } = &mut data.source {
            place(path);
        }
    }
    for judge in plan.judges.values_mut() {
        place(&mut judge.checkpoint);
        model(&mut judge.model, place);
    }
    plan.models.values_mut().chain([&mut plan.model]).for_each(|planned| model(planned, place));
}

/// Hands over every path of a model.
fn model(planned: &mut ModelPlan, place: &mut dyn FnMut(&mut String)) {
    let adapters = planned.lora.as_mut().map(|lora| &mut lora.initial);
    for initial in [&mut planned.initial].into_iter().chain(adapters) {
        match initial {
            InitialWeights::Random => {}
            InitialWeights::Published { folder, .. }
            | InitialWeights::Checkpoint { folder, .. } => place(folder),
        }
    }
    if let TokenizerPlan::File { path, .. } = &mut planned.tokenizer {
        place(path);
    }
}

/// Makes the path of a tokenizer's file one that leads to it, where one of the folders has it.
pub fn tokenizer(planned: &mut TokenizerPlan, folders: &[PathBuf]) {
    if let TokenizerPlan::File { path, .. } = planned {
        moved(path, folders);
    }
}

fn moved(path: &mut String, folders: &[PathBuf]) {
    if let Some(found) = find(path, folders).as_deref().and_then(Path::to_str) {
        found.clone_into(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_looked_for_where_it_was_started_then_here_then_above_its_store() {
        let found = folders(Some("/home/ann/project"), Path::new("/data/ann/runs/r1x.sqlite"));
        let names: Vec<&str> = found.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(names, ["/home/ann/project", "", "/data/ann/runs", "/data/ann", "/data", "/"]);
    }
}

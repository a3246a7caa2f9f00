//! What a spec reads, found in its plan and in the values it was written with.
//!
//! Hashes are those of the plan, which were taken of what was really read. A file is read again where the plan has no hash of
//! it, or where somebody wants to know which of several files is another one.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use r1x_build::{Language, Source};
use r1x_core::digest::{Hasher, sha256};
use r1x_core::plan::{InitialWeights, ModelPlan, RewardPlan, RunPlan, SourcePlan, TokenizerPlan};
use r1x_core::{Boundary, PortError};
use r1x_model::published::{self, adapter};
use r1x_spec::{Origin, Resolved};
use r1x_tasks::dataset::rows;

use super::file::{Input, Lock};
use crate::failure::Failure;
use crate::{plans, relocate};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;
/// The configuration of a published model.
const CONFIG: &str = "config.json";
/// The file beside a `tokenizer.json` that says how it is used.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Further files of a published model that say how its texts end and its conversations are written.
const TEXTS: [&str; 2] = ["chat_template.jinja", "generation_config.json"];

/// Something that a spec reads, as it is now.
#[derive(Debug)]
pub struct FoundInput {
    /// The key of the spec that names it.
    pub key: String,
    /// Where it is, seen from the folder of the spec; `None` where its files are in several places.
    pub path: Option<String>,
    /// sha256 of its bytes, hex; of several files the one over their names and hashes.
    pub sha256: String,
    /// Its files, where it is more than one.
    pub parts: Vec<Part>,
}

/// A file of an input.
#[derive(Debug)]
pub struct Part {
    /// Its name in the input.
    name: String,
    hash: PartHash,
}

/// The hash of a file of an input.
#[derive(Debug)]
enum PartHash {
    /// It is known.
    Known(String),
    /// The file at this path is to be read for it.
    Of(PathBuf),
}

impl FoundInput {
    /// The names of its files, where it is more than one.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().map(|part| &part.name)
    }

    /// The hash of each of its files.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn files(&self) -> Result<BTreeMap<String, String>, Failure> {
        let hash = |part: &Part| {
            let hash = match &part.hash {
                PartHash::Known(hash) => hash.clone(),
                PartHash::Of(path) => of_file(path)?,
            };
            Ok((part.name.clone(), hash))
        };
        self.parts.iter().map(hash).collect()
    }
}

/// What a spec reads, and the plan that it comes to.
pub struct Found {
    /// The inputs by key. A key has several where the runs of a sweep read different ones.
    pub inputs: Vec<FoundInput>,
    /// sha256 of the plan, with its paths seen from the folder of the spec; of a sweep, the one over a line with the hash
    /// of each plan.
    pub plan: String,
}

impl Found {
    /// The lock that says so.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn lock(&self, set: &[String]) -> Result<Lock, Failure> {
        let input = |found: &FoundInput| {
            let FoundInput { key, path, sha256, .. } = found;
            let (key, path, sha256) = (key.clone(), path.clone(), sha256.clone());
            Ok(Input { key, path, sha256, files: found.files()? })
        };
        let inputs = self.inputs.iter().map(input).collect::<Result<_, Failure>>()?;
        Ok(Lock { plan: self.plan.clone(), set: set.to_vec(), inputs })
    }
}

/// What finds the sources of a component by its sha256, where a spec names sources.
pub type Sources<'a> = &'a dyn Fn(&str) -> Option<Source>;

/// Finds what every run of a spec reads.
///
/// # Errors
/// When a file cannot be read again.
pub fn find_all(spec: &Path, runs: &[&Resolved], sources: Sources<'_>) -> Result<Found, Failure> {
    let mut inputs: BTreeMap<(String, String), FoundInput> = BTreeMap::new();
    let mut plans = Vec::new();
    for run in runs {
        let found = find(spec, run, sources)?;
        for input in found.inputs {
            inputs.entry((input.key.clone(), input.sha256.clone())).or_insert(input);
        }
        plans.push(found.plan);
    }
    let plan = match plans.as_slice() {
        [plan] => plan.clone(),
        plans => sha256(plans.join("\n").as_bytes()),
    };
    Ok(Found { inputs: inputs.into_values().collect(), plan })
}

/// Finds what a resolved spec reads.
///
/// # Errors
/// When a file cannot be read again.
fn find(spec: &Path, resolved: &Resolved, sources: Sources<'_>) -> Result<Found, Failure> {
    let folder = plain(spec).parent().map(Path::to_owned).unwrap_or_default();
    let mut search = Search { folder, resolved, inputs: Vec::new() };
    let plan = &resolved.plan;
    search.extended();
    search.model("model", &plan.model)?;
    for (name, model) in &plan.models {
        search.model(&format!("models.{name}"), model)?;
    }
    for (name, judge) in &plan.judges {
        search.one(format!("judges.{name}"), &judge.checkpoint, &judge.sha256);
        search.model(&format!("judges.{name}.model"), &judge.model)?;
    }
    for (id, data) in &plan.data {
        if let SourcePlan::Rows { path, sha256, format, .. } = &data.source {
            let files = rows::files_of(path, *format).map_err(PortError::from)?;
            search.several(format!("data.{id}"), Path::new(path), sha256, files);
        }
    }
    let mut portable = plan.clone();
    for reward in &mut portable.rewards {
        search.reward(reward, sources)?;
    }
    relocate::each_path(&mut portable, &mut |path| *path = search.seen_from(Path::new(path)));
    search.inputs.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Found { plan: hash_of(&portable)?, inputs: search.inputs })
}

fn hash_of(plan: &RunPlan) -> Result<String, Failure> {
    Ok(plans::plan_json(plan)?.1)
}

struct Search<'a> {
    /// The folder of the spec, absolute.
    folder: PathBuf,
    resolved: &'a Resolved,
    inputs: Vec<FoundInput>,
}

impl Search<'_> {
    /// An input that is one file, or of which one file is read.
    fn one(&mut self, key: String, path: &str, sha256: &str) {
        let path = Some(self.seen_from(Path::new(path)));
        self.inputs.push(FoundInput { key, path, sha256: sha256.to_owned(), parts: Vec::new() });
    }

    /// An input whose hash is known, with files that may have to be read.
    fn several(&mut self, key: String, folder: &Path, sha256: &str, files: Vec<PathBuf>) {
        let is_one = files.len() == 1 && !folder.is_dir();
        let part = |path: PathBuf| Part { name: name(&path), hash: PartHash::Of(path) };
        let parts = if is_one { Vec::new() } else { files.into_iter().map(part).collect() };
        let path = Some(self.seen_from(folder));
        self.inputs.push(FoundInput { key, path, sha256: sha256.to_owned(), parts });
    }

    /// An input whose hash is the one over its files; it is returned.
    fn whole(
        &mut self,
        key: String,
        path: Option<String>,
        files: BTreeMap<String, String>,
    ) -> String {
        let lines: String = files.iter().map(|(name, hash)| format!("{hash} {name}\n")).collect();
        let part = |(name, hash)| Part { name, hash: PartHash::Known(hash) };
        let parts = files.into_iter().map(part).collect();
        let hash = sha256(lines.as_bytes());
        self.inputs.push(FoundInput { key, path, sha256: hash.clone(), parts });
        hash
    }

    /// The specs that the spec extends.
    fn extended(&mut self) {
        let files = self.resolved.files.iter().skip(1);
        let file = |(path, text): &(String, String)| {
            (self.seen_from(Path::new(path)), sha256(text.as_bytes()))
        };
        let files: BTreeMap<String, String> = files.map(file).collect();
        if !files.is_empty() {
            self.whole("extends".to_owned(), None, files);
        }
    }

    /// What a model begins with, its tokenizer and its chat template.
    fn model(&mut self, key: &str, plan: &ModelPlan) -> Result<(), Failure> {
        let from = self.written(&format!("{key}.from"));
        match (&plan.initial, &from) {
            (InitialWeights::Published { folder, sha256 }, _) => {
                let files = published::files(Path::new(folder)).map_err(PortError::from)?;
                self.several(format!("{key}.from"), Path::new(folder), sha256, files);
            }
            // The weights are those of a checkpoint, and the folder says the shape.
            (_, Some(folder)) if folder.join(CONFIG).is_file() => {
                let file = folder.join(CONFIG);
                self.one(format!("{key}.from"), &file.display().to_string(), &of_file(&file)?);
            }
            _ => {}
        }
        let adapters = plan.lora.as_ref().map(|lora| &lora.initial);
        if let Some(InitialWeights::Published { folder, sha256 }) = adapters {
            let files = adapter::files(Path::new(folder));
            self.several(format!("{key}.lora.from"), Path::new(folder), sha256, files.to_vec());
        }
        for initial in [&plan.initial].into_iter().chain(adapters) {
            if let InitialWeights::Checkpoint { folder, sha256 } = initial {
                self.one(format!("{key}.checkpoint"), folder, sha256);
            }
        }
        self.tokenizer(key, &plan.tokenizer, from.as_deref())
    }

    /// A `tokenizer.json`, and the files beside it that say what stands around texts.
    fn tokenizer(
        &mut self,
        key: &str,
        plan: &TokenizerPlan,
        from: Option<&Path>,
    ) -> Result<(), Failure> {
        let TokenizerPlan::File { path, sha256: hash, chat, .. } = plan else { return Ok(()) };
        let key = format!("{key}.tokenizer");
        let own = Path::new(path).parent().unwrap_or(Path::new(""));
        let beside = from.unwrap_or(own);
        let texts: &[&str] = if from.is_some() { &TEXTS } else { &[] };
        let names = [TOKENIZER_CONFIG].into_iter().chain(texts.iter().copied());
        let there = names.map(|name| beside.join(name)).filter(|path| path.is_file());
        let mut files = BTreeMap::new();
        for file in there {
            files.insert(self.seen_from(&file), of_file(&file)?);
        }
        if files.is_empty() {
            self.one(key.clone(), path, hash);
        } else {
            files.insert(self.seen_from(Path::new(path)), hash.clone());
            self.whole(key.clone(), None, files);
        }
        let template = self.written(&format!("{key}.chat_template"));
        if let (Some(path), Some(chat)) = (template, chat) {
            let hash = sha256(chat.template.as_bytes());
            self.one(format!("{key}.chat_template"), &path.display().to_string(), &hash);
        }
        Ok(())
    }

    /// The plugin of a reward. Two builds of the same sources may differ in bytes, so sources are locked where a spec names
    /// sources; the plan then says them as well, so that it is the same on every machine.
    fn reward(&mut self, reward: &mut RewardPlan, sources: Sources<'_>) -> Result<(), Failure> {
        let key = format!("rewards.{}", reward.id);
        let Some(plugin) = reward.plugin_mut() else { return Ok(()) };
        let source = sources(&plugin.sha256);
        let place = source.as_ref().map(place_of);
        plugin.path = place.map_or(plugin.path.clone(), |place| place.display().to_string());
        match source {
            Some(source) if source.manifest.build.language != Language::Prebuilt => {
                let mut files = BTreeMap::new();
                for file in r1x_build::sources_of(&source)? {
                    files.insert(slashed(&file), of_file(&source.folder.join(&file))?);
                }
                let path = self.seen_from(&source.folder);
                plugin.sha256 = self.whole(key, Some(path), files);
            }
            _ => self.one(key, &plugin.path, &plugin.sha256),
        }
        Ok(())
    }

    /// The path that the spec has under a key, seen from the current folder.
    fn written(&self, key: &str) -> Option<PathBuf> {
        let setting = self.resolved.settings.iter().find(|setting| setting.path == key)?;
        let folder = match &setting.origin {
            Origin::File { file, .. } => Path::new(file).parent().map(Path::to_owned),
            Origin::Set | Origin::Default | Origin::Algorithm { .. } => None,
        };
        Some(folder.unwrap_or_default().join(setting.value.as_str()?))
    }

    /// A path seen from the folder of the spec. One that shares no folder with it is written from the root.
    fn seen_from(&self, path: &Path) -> String {
        relative(&self.folder, &plain(path))
    }
}

/// Where a person finds the sources of a plugin.
fn place_of(source: &Source) -> PathBuf {
    match (&source.manifest_path, &source.manifest.build.entry) {
        (None, Some(entry)) => source.folder.join(entry),
        _ => source.folder.clone(),
    }
}

/// The absolute path without `.` and `..`. What links make of it does not matter: it is for people.
fn plain(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// One absolute path seen from another.
fn relative(folder: &Path, path: &Path) -> String {
    let alike = folder.components().zip(path.components()).take_while(|(one, other)| one == other);
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let alike: Vec<Component<'_>> = alike.map(|(one, _)| one).collect();
    if !alike.iter().any(is_name) {
        return slashed(path);
    }
    let up = folder.components().skip(alike.len()).map(|_| "..".to_owned());
    let down = path.components().skip(alike.len());
    let down = down.map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// A path with `/` between its parts, whatever the system writes.
fn slashed(path: &Path) -> String {
    path.display().to_string().replace(std::path::MAIN_SEPARATOR, "/")
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// sha256 of the bytes of a file.
fn of_file(path: &Path) -> Result<String, Failure> {
    let told = |error: std::io::Error| {
        let message = format!("{}: {error}", path.display());
        Failure::from(PortError::new(Boundary::Data, message, "check the path and its permissions"))
    };
    let mut file = r1x_files::open(path).map_err(told)?;
    let (mut hasher, mut piece) = (Hasher::default(), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece).map_err(told)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use r1x_core::testing;

    use super::*;
    use crate::inputs::World;
    use crate::lock::differences;

    /// A spec without rewards.
    const BARE: &str = "r1x: 1\nname: bare\nmodel:\n  tokenizer: {data: sums}\n  hidden_size: 16\n  layers: 1\n  \
        context_length: 32\n  attention: {gqa: {heads: 2, kv_heads: 1, head_dim: 8}}\n  \
        feed_forward: {dense: {intermediate_size: 16}}\ndata:\n  sums:\n    countdown: {count: 3, numbers: [1, 9], \
        target: [1, 20], operations: \"+-\", train: 30, heldout: 2, trace: steps, seed: 0}\n    \
        prompt: \"{{ nums | join(' ') }} -> {{ target }} <think>\"\nstages:\n  - id: learn\n    \
        sft: {data: sums.train, steps: 1, batch_size: 4, lr: 1e-3}\n";

    #[test]
    fn paths_are_seen_from_the_folder_of_the_spec() {
        let seen = |path: &str| relative(Path::new("/home/ann/project/specs"), Path::new(path));
        for (path, expected) in [
            ("/home/ann/project/specs/rows.jsonl", "rows.jsonl"),
            ("/home/ann/project/models/small", "../models/small"),
            ("/home/ann/project/specs", "."),
            ("/home/ann/project", ".."),
            ("/home/bob/x", "../../../bob/x"),
            ("/data/models/small", "/data/models/small"),
        ] {
            assert_eq!(seen(path), expected);
        }
        assert_eq!(plain(Path::new("/a/./b/../c")), Path::new("/a/c"));
    }

    /// What builders make of the same sources is not the same on every machine, so it is in no lock.
    #[test]
    fn a_plugin_from_sources_is_locked_by_them() {
        let folder = tempfile::tempdir().unwrap();
        let reward = folder.path().join("reward.c");
        std::fs::write(&reward, "int x;").unwrap();
        let spec = folder.path().join("specs/bare.yaml");
        std::fs::create_dir(folder.path().join("specs")).unwrap();
        std::fs::write(&spec, BARE).unwrap();
        let world = World::with_workers(1).unwrap();
        let mut resolved = r1x_spec::resolve(&spec, &[], &world).unwrap();
        resolved.plan.rewards = ["one", "two"].map(testing::reward).to_vec();
        let mut found = |component: &str| {
            for plugin in resolved.plan.rewards.iter_mut().filter_map(RewardPlan::plugin_mut) {
                component.clone_into(&mut plugin.sha256);
                component.clone_into(&mut plugin.path);
            }
            find(&spec, &resolved, &|_| Source::open(&reward).ok()).unwrap()
        };
        let (one, other) = (found("one build"), found("another build"));
        assert_eq!((&one.plan, one.inputs[0].key.as_str()), (&other.plan, "rewards.one"));
        let [mut one, other] = [one, other].map(|found| found.lock(&[]).unwrap());
        assert_eq!(one, other);
        let files: Vec<&str> = one.inputs[0].files.keys().map(String::as_str).collect();
        assert_eq!((files, one.inputs[0].path.as_deref()), (vec!["reward.c"], Some("..")));
        std::fs::write(&reward, "int y;").unwrap();
        let changed = found("one build");
        let told = differences(&one, &changed.inputs).unwrap();
        assert!(told.len() == 2 && told[0].path == "../reward.c", "{told:?}");
        assert_ne!(changed.plan, one.plan);
        // The lock of its packages is one of its sources.
        std::fs::write(&reward, "int x;").unwrap();
        std::fs::write(folder.path().join("reward.c.lock"), "").unwrap();
        let told = differences(&one, &found("one build").inputs).unwrap();
        assert!(told[0].path == "../reward.c.lock" && told[0].locked.is_none(), "{told:?}");
        one.inputs.clear();
        assert_eq!(differences(&one, &changed.inputs).unwrap().len(), 2);
    }
}

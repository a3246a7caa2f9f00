//! What is read: one file for each kind, and one row of the table below.
//!
//! A target hands bytes to the function that a run hands them to. Must not look for mistakes of its own.

mod chat;
mod checkpoint;
mod component;
mod lock;
mod merge;
mod published;
mod rollouts;
mod rows;
mod spec;
mod sql;
mod store;
mod template;
mod tokenizer;
mod verify;
mod weights;

use std::path::Path;

/// Reads an input and tells what was said about it.
pub type Read = Box<dyn FnMut(&[u8]) -> String>;

/// One kind of file.
pub struct Target {
    /// Its name on the command line, and of the folder with its seeds.
    pub name: &'static str,
    /// What it reads, in words.
    pub reads: &'static str,
    /// Files of the repository that are seeds too.
    pub files: &'static [&'static str],
    /// Words worth writing into an input.
    pub words: &'static [&'static str],
    /// Sets up a reader, which may use a folder, and makes further seeds.
    pub make: fn(&Path) -> std::io::Result<(Read, Vec<Vec<u8>>)>,
}

/// Every target.
pub const ALL: &[Target] = &[
    tokenizer::TARGET,
    checkpoint::TARGET,
    spec::TARGET,
    template::TARGET,
    chat::TARGET,
    rows::TARGET,
    component::TARGET,
    sql::TARGET,
    store::TARGET,
    verify::TARGET,
    merge::TARGET,
    lock::TARGET,
    rollouts::TARGET,
    weights::TARGET,
    published::TARGET,
];

/// An error of setting a target up.
fn failed(error: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

/// What came of reading, in words.
fn said<T>(outcome: Result<T, impl std::fmt::Display>) -> String {
    outcome.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
}

#[cfg(test)]
mod tests {
    use r1x_core::Rng;

    use super::*;
    use crate::child::answer;
    use crate::corpus::Corpus;
    use crate::mutate::mutated;

    /// Every target reads its seeds and some mutations of them, here without a limit on memory: a panic, an abort or
    /// a hang fails the test.
    #[track_caller]
    fn check(target: &Target, mutations: u64) {
        let folder = tempfile::tempdir().unwrap();
        let (mut read, made) = (target.make)(folder.path()).unwrap();
        let mut corpus = Corpus::new(target.name, target.files, made).unwrap();
        let seeds = corpus.inputs().to_vec();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        let said: Vec<String> = seeds.iter().map(|seed| answer(&mut read, seed).unwrap()).collect();
        let is_accepted = said.iter().any(|said| said == "ok");
        assert!(is_accepted, "{} accepts none of its seeds: {said:?}", target.name);
        let stream = Rng::new(1).stream("fuzz").named(target.name);
        for number in 0..mutations {
            let input = mutated(corpus.inputs(), target.words, &mut stream.at(&[number]));
            let said = answer(&mut read, &input)
                .unwrap_or_else(|panic| panic!("{} {number}: {panic}", target.name));
            corpus.learn(&input, &said);
        }
    }

    #[test]
    fn tokenizers() {
        check(&tokenizer::TARGET, 600);
    }

    #[test]
    fn checkpoints() {
        check(&checkpoint::TARGET, 600);
    }

    #[test]
    fn specs() {
        check(&spec::TARGET, 300);
    }

    #[test]
    fn templates() {
        check(&template::TARGET, 400);
    }

    #[test]
    fn chat_templates() {
        check(&chat::TARGET, 400);
    }

    #[test]
    fn rows_of_data() {
        check(&rows::TARGET, 400);
    }

    #[test]
    fn components() {
        check(&component::TARGET, 60);
    }

    #[test]
    fn queries() {
        check(&sql::TARGET, 300);
    }

    #[test]
    fn stores() {
        check(&store::TARGET, 60);
    }

    #[test]
    fn stores_that_are_verified() {
        check(&verify::TARGET, 40);
    }

    #[test]
    fn stores_that_are_merged() {
        check(&merge::TARGET, 40);
    }

    #[test]
    fn locks() {
        check(&lock::TARGET, 2000);
    }

    #[test]
    fn rollouts_of_other_systems() {
        check(&rollouts::TARGET, 600);
    }

    #[test]
    fn published_models() {
        check(&published::TARGET, 600);
    }

    #[test]
    fn weights() {
        check(&weights::TARGET, 600);
    }
}

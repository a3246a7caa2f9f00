//! Names for runs: an experiment, an adjective and an animal.
//!
//! Chosen from random bits of the operating system, never from the seed, so that equal runs get unequal names.

/// Words that are kind to whatever they describe.
const ADJECTIVES: [&str; 96] = [
    "able", "airy", "amber", "ample", "apt", "azure", "bold", "brave", "bright", "brisk", "calm",
    "candid", "clear", "clever", "cosy", "crisp", "curious", "dapper", "daring", "deft", "eager",
    "early", "easy", "even", "exact", "fair", "fast", "fine", "firm", "fleet", "fluent", "fond",
    "frank", "free", "fresh", "gentle", "glad", "golden", "good", "grand", "green", "happy",
    "hardy", "honest", "humble", "ideal", "jolly", "just", "keen", "kind", "lively", "lucid",
    "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "novel", "open",
    "patient", "plain", "plucky", "polite", "prime", "proud", "pure", "quick", "quiet", "rapid",
    "ready", "rosy", "round", "sage", "serene", "sharp", "shiny", "silver", "sincere", "smooth",
    "snug", "solid", "sound", "spry", "steady", "still", "sturdy", "sunny", "swift", "tidy",
    "true", "vivid", "warm", "wise",
];

/// Animals with short names.
const ANIMALS: [&str; 96] = [
    "adder", "alpaca", "ant", "badger", "bat", "bear", "beaver", "bee", "bison", "bream", "camel",
    "carp", "cat", "civet", "cod", "condor", "coot", "coyote", "crab", "crane", "cricket", "crow",
    "deer", "dingo", "dove", "duck", "eagle", "eel", "egret", "eland", "elk", "emu", "falcon",
    "ferret", "finch", "fox", "frog", "gecko", "gibbon", "gnu", "goat", "goose", "gull", "hare",
    "hawk", "heron", "horse", "hound", "ibex", "ibis", "jackal", "jay", "kite", "koala", "lark",
    "lemur", "lion", "lizard", "llama", "lynx", "magpie", "marten", "mole", "moose", "moth",
    "mouse", "newt", "ocelot", "okapi", "oryx", "osprey", "otter", "owl", "panda", "perch", "pike",
    "pony", "puffin", "puma", "quail", "rabbit", "raven", "robin", "salmon", "seal", "shrew",
    "skink", "sloth", "snail", "stoat", "stork", "swan", "tapir", "toad", "trout", "wren",
];

/// The name for some random bits; every pair of words is about equally likely.
pub(crate) fn run_name(experiment: &str, bits: u64) -> String {
    let adjective = ADJECTIVES[(bits & 0xffff_ffff) as usize % ADJECTIVES.len()];
    let animal = ANIMALS[(bits >> 32) as usize % ANIMALS.len()];
    format!("{experiment}-{adjective}-{animal}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_distinct_and_plain() {
        for list in [&ADJECTIVES, &ANIMALS] {
            let set: BTreeSet<_> = list.iter().collect();
            assert_eq!(set.len(), list.len());
            assert!(list.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        }
    }

    #[test]
    fn both_halves_of_the_bits_matter() {
        assert_eq!(run_name("x", 0), "x-able-adder");
        assert_eq!(run_name("x", 1), "x-airy-adder");
        assert_eq!(run_name("x", 1 << 32), "x-able-alpaca");
    }
}

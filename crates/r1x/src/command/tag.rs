//! `r1x tag`: give tags to a run and take them away.
//!
//! Tags are about a run and no facts of it: no digest covers them.

use r1x_store::TagChange;

use crate::args::Global;
use crate::failure::{Failure, code};
use crate::stores;

/// Changes the tags of a run, and prints those that it has then.
///
/// # Errors
/// When there is no such run, or a word is no change of a tag.
pub fn tag(global: &Global, run: &str, words: &[String]) -> Result<i32, Failure> {
    let changes: Vec<TagChange> =
        words.iter().map(|word| change(word)).collect::<Result<_, _>>()?;
    let store = match changes.is_empty() {
        true => stores::reading(global.store())?,
        false => stores::existing(global.store())?,
    };
    if !changes.is_empty() {
        store.change_tags(run, changes)?;
    }
    for tag in store.run(run)?.tags {
        println!("{tag}");
    }
    Ok(0)
}

fn change(word: &str) -> Result<TagChange, Failure> {
    let name = |rest: &str| rest.to_owned();
    match (word.strip_prefix('+'), word.strip_prefix('-')) {
        (Some(rest), _) => Ok(TagChange::Give(name(rest))),
        (_, Some(rest)) if !rest.starts_with('-') => Ok(TagChange::Take(name(rest))),
        _ => Err(Failure::new(
            code::INPUT,
            format!("`{word}` is no change of a tag"),
            "write `+word` to give a tag and `-word` to take it away; options such as `--store` stand before the run",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_says_what_becomes_of_a_tag() {
        assert_eq!(change("+good").unwrap(), TagChange::Give("good".into()));
        assert_eq!(change("-bad").unwrap(), TagChange::Take("bad".into()));
        for wrong in ["good", "--store", ""] {
            assert_eq!(change(wrong).unwrap_err().code, code::INPUT, "{wrong}");
        }
    }
}

//! `r1x model`: the verbs, one file each.

pub mod score;

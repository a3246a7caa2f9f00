//! The policy as a distribution: how sure it is, how far it went, and whether it is one.

use super::Looked;
use crate::failure::Failure;
use crate::notice::Notice;
use crate::number::number;

/// The entropy has collapsed where it is below this share of what it was, and below so many nats a token.
const COLLAPSED: (f64, f64) = (0.1, 0.1);

/// Nats a token between policy and reference from which on it is told.
const FAR: f64 = 0.5;

/// The largest difference of log-probs between sampler and trainer that rounding explains, nats.
const ROUNDING: f64 = 0.05;

/// A policy that has become sure of everything.
pub fn entropy(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(course) = looked.course("entropy")? else { return Ok(None) };
    let (share, nats) = COLLAPSED;
    Ok((course.last < share * course.first && course.last < nats).then(|| {
        Notice::new(
            format!(
                "{}: the entropy fell from {} to {} nats a token, so groups hold little to compare",
                looked.place(),
                number(course.first),
                number(course.last)
            ),
            "an entropy bonus (`entropy`), a higher upper clip (`clip.high`), a lower `lr` or fewer steps keep more of it",
        )
    }))
}

/// A policy far from its reference.
pub fn kl(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(course) = looked.course("kl")? else { return Ok(None) };
    Ok((course.last > FAR).then(|| {
        Notice::new(
            format!(
                "{}: the policy is {} nats a token from its reference at the end",
                looked.place(),
                number(course.last)
            ),
            "a larger `kl.coef` or a lower `lr` holds it, and `kl.refresh_every` lets the reference follow",
        )
    }))
}

/// A sampler that is not the policy which learns.
pub fn sampler(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(course) = looked.course("logprob_diff_max")? else { return Ok(None) };
    Ok((course.most > ROUNDING).then(|| {
        Notice::new(
            format!(
                "{}: log-probs of sampler and trainer differ by up to {} nats",
                looked.place(),
                number(course.most)
            ),
            "on the CPU they are equal to the bit, so please report it; on a card `precision: f32` brings them together",
        )
    }))
}

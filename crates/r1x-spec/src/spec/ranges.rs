//! Ranges of numbers in a spec: what is possible at all, so that nothing later overflows or divides by 0.

use crate::schema_tree::Range;

/// Widths and lengths; the upper end keeps products of a few of them inside 64 bits.
pub(super) const SIZE: Range = Range::from(1.0).to(1_048_576.0);
/// Counts of layers, heads, experts.
pub(super) const PARTS: Range = Range::from(1.0).to(4_096.0);
/// Counts of steps and problems.
pub(super) const COUNT: Range = Range::from(1.0).to(1e9);
/// Counts of steps and problems that may also be 0.
pub(super) const COUNT_OR_NONE: Range = Range::from(0.0).to(1e9);
/// Shares below the whole.
pub(super) const DECAY: Range = Range::from(0.0).below(1.0);
/// Decays of moments: 1 would never forget, and what 32 bits round to 1 neither.
pub(super) const MOMENT_DECAY: Range = Range::from(0.0).to(0.999_999);
/// Factors of terms of a loss and of updates; beyond, no 32 bits hold the products.
pub(super) const FACTOR: Range = Range::from(0.0).to(1e6);
/// Temperatures: logits are divided by them, so those near 0 leave the finite numbers, and those far above 1 leave
/// nothing of what was learned.
pub(super) const TEMPERATURE: Range = Range::from(0.01).to(100.0).or_zero();
/// Factors inside a sigmoid.
pub(super) const STEEPNESS: Range = Range::from(1e-3).to(1e3);
/// Shares of a whole.
pub(super) const SHARE: Range = Range::from(0.0).to(1.0);
/// Numbers and targets of Countdown: exact arithmetic on them stays far inside 64 bits.
pub(super) const COUNTDOWN: Range = Range::from(1.0).to(1_000_000.0);
/// Numbers of layers, the first of which is 0, and counts of them.
pub(super) const LAYERS: Range = Range::from(0.0).to(4_096.0);
/// Numbers added to mean squares.
pub(super) const EPSILON: Range = Range::from(1e-12).to(1.0);
/// How many times as long a context becomes.
pub(super) const STRETCH: Range = Range::from(1.0).to(1e6);
/// How often a frequency turns within a context, and factors of that size.
pub(super) const TURNS: Range = Range::above(0.0).to(1e6);
/// Scales of temperatures that grow with the logarithm of a context.
pub(super) const SCALE: Range = Range::from(0.0).to(100.0);

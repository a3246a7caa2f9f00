//! A straight line from the peak to the final rate.

/// Share of the way from the final to the peak rate, at `progress` in [0, 1].
pub(super) fn share(progress: f64) -> f64 {
    1.0 - progress
}

//! Half a cosine from the peak to the final rate.

/// Share of the way from the final to the peak rate, at `progress` in [0, 1].
pub(super) fn share(progress: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

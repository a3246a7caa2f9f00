//! No decay: the learning rate stays at the peak, and `final_ratio` has no effect.

/// Share of the way from the final to the peak rate, at `progress` in [0, 1].
pub(super) fn share(_progress: f64) -> f64 {
    1.0
}

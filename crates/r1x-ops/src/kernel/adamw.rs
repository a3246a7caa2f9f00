//! AdamW (Loshchilov & Hutter, 2019) over a flat range of parameters in one pass.

use crate::simd::vectorize;

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// 1 − beta1^t.
    pub correction1: f32,
    /// 1 − beta2^t.
    pub correction2: f32,
    /// Factor on the gradient (clipping).
    pub gradient_scale: f32,
}

impl AdamW {
    /// Updates weights and moments in place.
    pub fn step(
        &self,
        weights: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        vectorize(|| self.body(weights, gradient, first, second));
    }

    #[inline(always)]
    fn body(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let decay = 1.0 - self.lr * self.weight_decay;
        let step = self.lr / self.correction1;
        let root = 1.0 / self.correction2;
        for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(first.iter_mut().zip(second)) {
            let g = *g * self.gradient_scale;
            *m = self.beta1 * *m + (1.0 - self.beta1) * g;
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            *w = *w * decay - step * *m / ((*v * root).sqrt() + self.eps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook update, one scalar at a time in f64.
    fn reference(steps: &[f64], lr: f64, decay: f64) -> f64 {
        let (beta1, beta2, eps) = (0.9, 0.95, 1e-8);
        let (mut w, mut m, mut v) = (0.5, 0.0, 0.0);
        for (t, g) in steps.iter().enumerate() {
            m = beta1 * m + (1.0 - beta1) * g;
            v = beta2 * v + (1.0 - beta2) * g * g;
            let m_hat = m / (1.0 - f64::powi(beta1, t as i32 + 1));
            let v_hat = v / (1.0 - f64::powi(beta2, t as i32 + 1));
            w -= lr * decay * w;
            w -= lr * m_hat / (v_hat.sqrt() + eps);
        }
        w
    }

    #[test]
    fn three_steps_follow_the_textbook() {
        let gradients = [0.3, -1.2, 0.05];
        let (mut w, mut m, mut v) = (vec![0.5f32; 19], vec![0.0; 19], vec![0.0; 19]);
        for (t, g) in gradients.iter().enumerate() {
            let step = AdamW {
                lr: 0.01,
                beta1: 0.9,
                beta2: 0.95,
                eps: 1e-8,
                weight_decay: 0.1,
                correction1: 1.0 - 0.9f32.powi(t as i32 + 1),
                correction2: 1.0 - 0.95f32.powi(t as i32 + 1),
                gradient_scale: 0.5,
            };
            step.step(&mut w, &[2.0 * *g as f32; 19], &mut m, &mut v);
        }
        let expected = reference(&gradients, 0.01, 0.1);
        assert!(w.iter().all(|w| (f64::from(*w) - expected).abs() < 1e-6), "{w:?} {expected}");
    }
}

//! AdamW over the parameters of a model on a device: moments, the gradient's norm, the step.

use candle_core::{DType, Device, Tensor, Var};
use r1x_core::plan::OptimizerPlan;
use r1x_ops::op::adamw;

use super::{download, upload};
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::{Optimizer, decay, numbers};

/// First and second moments in layout order.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    /// Nothing stands for zeros: moments take memory from the first update on.
    pairs: Vec<Option<(Tensor, Tensor)>>,
    updates: u64,
}

impl Moments {
    pub(super) fn new(parameters: usize) -> Self {
        Self { pairs: vec![None; parameters], updates: 0 }
    }

    /// Moments that were saved.
    pub(super) fn upload(
        saved: &Optimizer,
        layout: &Layout,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let trained = layout.trained();
        let pair = |((parameter, first), (_, second))| {
            Ok(Some((upload(parameter, first, device)?, upload(parameter, second, device)?)))
        };
        let both = trained.split(&saved.first).zip(trained.split(&saved.second));
        let pairs = both.map(pair).collect::<Result<_, ModelError>>()?;
        Ok(Self { pairs, updates: saved.updates })
    }

    /// Moments to be saved.
    pub(super) fn download(&self, layout: &Layout) -> Result<Optimizer, ModelError> {
        Ok(Optimizer {
            first: download(layout, self.pairs.iter().map(|p| p.as_ref().map(|p| &p.0)))?,
            second: download(layout, self.pairs.iter().map(|p| p.as_ref().map(|p| &p.1)))?,
            updates: self.updates,
        })
    }

    /// Updates some parameters, in the order of the layout, for a gradient and its norm. A parameter without a gradient moves on by its
    /// moments, as one whose gradient is 0 does.
    pub(super) fn step(
        &mut self,
        parameters: &[Parameter],
        variables: &[Var],
        plan: &OptimizerPlan,
        lr: f64,
        (gradient, norm): (&[Option<Tensor>], f64),
    ) -> Result<(), ModelError> {
        self.updates += 1;
        let mut step = numbers(plan, lr, norm, self.updates);
        let state = self.pairs.iter_mut().zip(gradient);
        for ((parameter, variable), (moments, gradient)) in
            parameters.iter().zip(variables).zip(state)
        {
            let zeros = || variable.as_detached_tensor().zeros_like();
            if moments.is_none() {
                *moments = Some((zeros()?, zeros()?));
            }
            let Some((first, second)) = moments else { continue };
            step.weight_decay = decay(plan, parameter);
            match gradient {
                Some(gradient) => adamw(&step, variable, gradient, first, second)?,
                None => adamw(&step, variable, &zeros()?, first, second)?,
            }
        }
        Ok(())
    }
}

/// Whether all numbers of some tensors are finite: a sum of products with 0 is 0 or NaN.
pub(super) fn all_finite<'a>(
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<bool, ModelError> {
    let sums = tensors.map(|tensor| (tensor.detach() * 0.0)?.sum_all());
    let sums = sums.collect::<Result<Vec<_>, _>>()?;
    if sums.is_empty() {
        return Ok(true);
    }
    Ok(Tensor::stack(&sums, 0)?.sum_all()?.to_scalar::<f32>()?.is_finite())
}

/// The global L2 norm, summed in `f64` on the device.
pub(super) fn norm(gradient: &[Option<Tensor>]) -> Result<f64, ModelError> {
    let squares =
        gradient.iter().flatten().map(|gradient| gradient.to_dtype(DType::F64)?.sqr()?.sum_all());
    let squares = squares.collect::<Result<Vec<_>, _>>()?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    Ok(Tensor::stack(&squares, 0)?.sum_all()?.to_scalar::<f64>()?.sqrt())
}

//! Models that begin with a checkpoint: all that is trained comes from there, and other weights are refused.

use r1x_core::plan::{FeedForwardPlan, InitialWeights, LoraPlan, ModelPlan};
use r1x_core::port::{Cursor, EarlierWeights};
use r1x_core::{Learner, Sampler};
use r1x_ops::device::Device;

use super::properties::{batch, kernels, requests, sampling, stream, train};
use super::{gqa, moe, plan, with_adapters};
use crate::TensorPolicy;
use crate::checkpoint::{self, Expected};

/// The plan of a model that begins with a checkpoint of what the other plan trains.
fn begun(plan: &ModelPlan, folder: &std::path::Path, sha256: &str) -> ModelPlan {
    let (folder, sha256) = (folder.display().to_string(), sha256.to_owned());
    let initial = InitialWeights::Checkpoint { folder, sha256 };
    match &plan.lora {
        None => ModelPlan { initial, ..plan.clone() },
        Some(lora) => {
            ModelPlan { lora: Some(LoraPlan { initial, ..lora.clone() }), ..plan.clone() }
        }
    }
}

#[test]
fn a_model_begins_with_what_a_checkpoint_holds() {
    let whole = plan(gqa(), FeedForwardPlan::Moe(moe()), false);
    let adapted = plan(gqa(), FeedForwardPlan::swiglu(14), true);
    let adapted = with_adapters(adapted, LoraPlan::everywhere(3));
    for plan in [whole, adapted] {
        let (mut policy, home) = kernels(&plan, 1);
        let written = policy.generate(&requests(), &sampling(), stream()).unwrap();
        train(&mut policy, &batch(&requests(), &written), 3);
        let saved = policy.save("saved", &Cursor::default()).unwrap();
        let folder = home.path().join("saved");
        let begun_plan = begun(&plan, &folder, &saved.sha256);
        let (mut model, _home) = kernels(&begun_plan, 2);
        assert_eq!(model.weights_sha256().unwrap(), saved.sha256);
        // Where a stage begins anew, it is there that it begins.
        train(&mut model, &batch(&requests(), &written), 1);
        assert_ne!(model.weights_sha256().unwrap(), saved.sha256);
        model.take_weights(EarlierWeights::Initial).unwrap();
        assert_eq!(model.weights_sha256().unwrap(), saved.sha256);
        let answers = |model: &dyn Sampler| model.generate(&requests(), &sampling(), stream());
        assert_eq!(answers(&model).unwrap(), answers(&policy).unwrap());
        let empty = std::path::PathBuf::new();
        let tensors = TensorPolicy::new(&begun_plan, 4, empty.clone(), &Device::Cpu).unwrap();
        assert_eq!(tensors.weights_sha256().unwrap(), saved.sha256);
        let other = begun(&plan, &folder, &"0".repeat(64));
        let refused = crate::DecoderPolicy::<f32>::new(&other, 4, 1, empty).unwrap_err();
        assert!(refused.to_string().contains("other weights"), "{refused}");
    }
}

#[test]
fn a_checkpoint_is_read_whole_before_a_model_begins_with_it() {
    let plan = plan(gqa(), FeedForwardPlan::swiglu(14), true);
    let (mut policy, home) = kernels(&plan, 1);
    let saved = policy.save("saved", &Cursor::default()).unwrap();
    let folder = home.path().join("saved");
    let expected = Expected::with_weights(&saved.sha256);
    checkpoint::check(&folder, &plan, &expected).unwrap();
    let deeper = ModelPlan { layers: plan.layers + 1, ..plan.clone() };
    let told = checkpoint::check(&folder, &deeper, &expected).unwrap_err().to_string();
    assert!(told.contains("has no tensor `model.layers."), "{told}");
    let file = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let told = checkpoint::check(&folder, &plan, &expected).unwrap_err().to_string();
    assert!(told.contains("changed or torn"), "{told}");
}

//! How often problems are drawn, and in which mixture.

use r1x_core::plan::StageKind;

use super::shipped;

/// The parts of the data sets of a stage.
fn parts(data: &str) -> Vec<Option<u32>> {
    let data = format!("stages.rl.grpo.data={data}");
    let resolved = shipped("tiny-reasoning", &[&data]);
    let StageKind::Grpo(rl) = &resolved.plan.stages[1].kind else { panic!("rl is grpo") };
    rl.data.iter().map(|data| data.parts).collect()
}

#[test]
fn parts_of_a_mixture_have_no_divisor_in_common() {
    assert_eq!(parts("[sums.train, letters.train]"), [None, None]);
    assert_eq!(parts("{sums.train: 75, letters.train: 25}"), [Some(3), Some(1)]);
    assert_eq!(parts("{sums.train: 2, letters.train: 3}"), [Some(2), Some(3)]);
    assert_eq!(parts("{letters.train: 7}"), [Some(1)]);
}

/// 3 000 problems in batches of 64 are 46.875 updates.
#[test]
fn passes_over_the_problems_are_whole_updates() {
    for (epochs, expected) in [("1", 47), ("2", 94), ("0.5", 24), ("0.46", 22)] {
        let epochs = format!("stages.cold-start.sft.epochs={epochs}");
        let resolved = shipped("countdown", &["stages.cold-start.sft.steps=null", &epochs]);
        let StageKind::Sft(sft) = &resolved.plan.stages[0].kind else { panic!("fine-tuning") };
        assert_eq!(sft.steps, expected, "{epochs}");
    }
}

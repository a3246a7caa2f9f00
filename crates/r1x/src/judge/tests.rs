//! A tiny fresh checkpoint as a judge: equal answers however they are asked for, and honest log-probs.

use std::collections::BTreeMap;

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, ModelPlan, Precision, RopePairs, RopePlan,
    TokenizerPlan,
};
use r1x_core::port::Cursor;
use r1x_core::testing;

use super::*;

fn plan(precision: Precision) -> ModelPlan {
    ModelPlan {
        tokenizer: TokenizerPlan::Vocabulary {
            pieces: ["yes", "no", "is", "it", "good", "?"].map(str::to_owned).to_vec(),
        },
        vocabulary_size: 7,
        hidden_size: 16,
        layers: 2,
        context_length: 24,
        attention: AttentionPlan::Gqa(GqaPlan::llama(2, 1, 8)),
        feed_forward: FeedForwardPlan::swiglu(24),
        tie_embeddings: true,
        rope: RopePlan::unscaled(100.0, RopePairs::Halves),
        init_std: 0.5,
        precision,
        ..testing::tiny_model()
    }
}

/// A judge called `critic`, and the policy whose weights it has.
fn critic(precision: Precision) -> (tempfile::TempDir, JudgePlan, Box<dyn Model + Send>) {
    let folder = tempfile::tempdir().unwrap();
    let model = plan(precision);
    let mut policy = r1x_model::model::on_cpu(&model, 5, 1, folder.path().to_owned()).unwrap();
    let saved = policy.save("last", &Cursor::default()).unwrap();
    let checkpoint = folder.path().join(&saved.path).display().to_string();
    (folder, JudgePlan { checkpoint, sha256: saved.sha256, model }, policy)
}

fn load(plan: &JudgePlan, threads: usize) -> Result<Judges, PortError> {
    Judges::load(&BTreeMap::from([("critic".to_owned(), plan.clone())]), threads)
}

fn request(prompt: &str, temperature: f64, seed: u64) -> JudgeRequest {
    JudgeRequest { prompt: prompt.to_owned(), max_tokens: 8, temperature, seed }
}

#[test]
fn an_answer_depends_on_the_request_alone() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (_folder, plan, _) = critic(precision);
        let batch: Vec<JudgeRequest> = ["is it good ?", "good", "it is", "is it good ?"]
            .iter()
            .flat_map(|prompt| {
                [request(prompt, 0.0, 1), request(prompt, 1.0, 1), request(prompt, 1.0, 2)]
            })
            .collect();
        let together = load(&plan, 3).unwrap().complete("critic", &batch).unwrap();
        let one = load(&plan, 1).unwrap();
        for (request, answer) in batch.iter().zip(&together) {
            let alone = one.complete("critic", std::slice::from_ref(request)).unwrap();
            assert_eq!(alone, std::slice::from_ref(answer), "{request:?}");
        }
        assert_eq!(together[..3], together[9..], "equal requests, equal answers");
        assert_ne!(together[1], together[2], "another seed, another draw");
    }
}

#[test]
fn log_probs_are_those_of_what_the_model_writes() {
    let (_folder, plan, policy) = critic(Precision::F32);
    let judges = load(&plan, 2).unwrap();
    let prompt = policy.encode("is it good ?").unwrap();
    let asked = GenerateRequest { prompt, samples: 4, address: 0, lengths: vec![3; 4] };
    let sampling =
        SamplingPlan { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens: 3 };
    let drawn = policy.generate(&[asked], &sampling, Rng::new(3).stream("x")).unwrap().remove(0);
    let mut compared = 0;
    for completion in drawn {
        let text = policy.decode(&completion.tokens);
        if policy.encode(&text).unwrap() != completion.tokens {
            continue;
        }
        let expected: f64 = completion.logprobs.iter().map(|one| f64::from(*one)).sum();
        let pair = ("is it good ?".to_owned(), text);
        let found = judges.logprob("critic", &[pair.clone(), pair]).unwrap();
        assert_eq!(found, [expected, expected]);
        compared += 1;
    }
    assert!(compared > 0);
    // All verdicts of one token together are certain, the end of the sequence included.
    let words = ["yes", "no", "is", "it", "good", "?"];
    let pairs: Vec<_> = words.iter().map(|word| ("good".to_owned(), (*word).to_owned())).collect();
    let total: f64 = judges.logprob("critic", &pairs).unwrap().iter().map(|one| one.exp()).sum();
    assert!(total > 0.3 && total < 1.0, "{total}");
}

#[test]
fn mistakes_are_told() {
    let (_folder, plan, _) = critic(Precision::F32);
    let judges = load(&plan, 1).unwrap();
    let error = judges.complete("nobody", &[]).unwrap_err();
    assert!(error.message.contains("no judge `nobody`") && error.hint.unwrap().contains("critic"));
    let long = "good ".repeat(30);
    let error = judges.complete("critic", &[request(&long, 0.0, 1)]).unwrap_err();
    assert!(error.message.contains("does not fit a judge that reads 24"), "{error}");
    let error = judges.logprob("critic", &[("good".to_owned(), String::new())]).unwrap_err();
    assert!(error.message.contains("a text of 0 tokens"), "{error}");

    let other = JudgePlan { sha256: "0".repeat(64), ..plan.clone() };
    let error = load(&other, 1).err().unwrap();
    assert!(error.message.contains("judge `critic`"), "{error}");
    assert!(error.message.contains("not the weights that the plan names"), "{error}");
    let missing = JudgePlan { checkpoint: "nowhere".to_owned(), ..plan };
    let error = load(&missing, 1).err().unwrap();
    assert!(error.message.contains("nowhere"), "{error}");
}

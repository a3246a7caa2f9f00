//! A run with a critic beside the policy: what `plan` says of it and what the store has.

use super::bench::{Bench, CRITIC, text};

#[test]
fn a_critic_learns_beside_the_policy_from_single_rollouts() {
    let bench = Bench::with_critic();
    let plan = bench.ok(&["plan", CRITIC]);
    assert!(plan.contains("model `critic` says what each token is worth"), "{plan}");
    assert!(plan.contains("gamma 1, lambda 0.95, over the deviation of the step"), "{plan}");
    let output = bench.output(&["run", CRITIC, "--set", "checkpoints.every=3"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let curve = |metric: &str| -> Vec<f64> {
        let rows = bench.sql(&format!(
            "SELECT value FROM v_metrics WHERE stage = 'ppo' AND metric = '{metric}' ORDER BY step"
        ));
        rows.iter().map(|row| row["value"].as_f64().unwrap()).collect()
    };
    for metric in
        ["critic.loss", "critic.value.mean", "critic.return.mean", "critic.grad_norm", "kl.penalty"]
    {
        assert_eq!(curve(metric).len(), 8, "{metric}");
    }
    assert!(curve("critic.grad_norm").iter().all(|norm| *norm > 0.0));
    // The first two steps are the critic's alone.
    let norms = curve("grad_norm");
    assert!(norms[..2] == [0.0; 2] && norms[2] > 0.0, "{norms:?}");
    let rows = bench.sql(
        "SELECT count(*) AS n, count(DISTINCT advantage) AS different FROM v_rollouts WHERE stage = 'ppo'",
    );
    assert_eq!(rows[0]["n"], 8 * 12);
    assert!(rows[0]["different"].as_u64().unwrap() > 48, "{rows:?}");
    // A critic is a part of the checkpoint around it, and no policy.
    let name = bench.latest()["name"].as_str().unwrap().to_owned();
    let around = format!("runs/{name}/ppo/step-000006");
    let told = bench.fails(4, &["model", "export", &format!("{around}/critic"), "out"]);
    assert!(told.contains("name the checkpoint that it lies in"), "{told}");
    bench.ok(&["model", "export", &around, "out"]);
    // Its steps are made again beside it.
    let told = bench.ok(&["replay", &format!("{name}@5"), "--stage", "ppo"]);
    assert!(told.contains("bitwise match"), "{told}");
    let told = bench.ok(&["reproduce", &name]);
    assert!(told.contains("bitwise match through step 7 of stage `ppo`"), "{told}");
    // The files of a critic inside of a checkpoint are compared like those around it.
    bench.ok(&["store", "verify"]);
    let inside = bench.path(&format!("{around}/critic/optimizer.safetensors"));
    std::fs::write(&inside, "other bytes").unwrap();
    let told = text(&bench.output(&["store", "verify"]).stdout);
    assert!(told.contains("critic/optimizer.safetensors"), "{told}");
}

//! Runs that are told apart, found again and removed.
//!
//! Must not test the store alone.

use super::bench::{BEGUN, Bench, text};

/// A run of the first stage alone, and its name.
fn first(bench: &Bench, sets: &[&str]) -> String {
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    let last = ["--set", "stages.rl.grpo=null", "--set", "stages.rl.evaluate={evals: [heldout]}"];
    let run = bench.json(&[&["run", "small.yaml", "--json"][..], &last, &sets].concat());
    run["run"].as_str().unwrap().to_owned()
}

fn names(bench: &Bench, arguments: &[&str]) -> Vec<String> {
    let listed = bench.json(&[&["ls", "--json"][..], arguments].concat());
    let name = |run: &serde_json::Value| run["name"].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn runs_are_tagged_noted_renamed_and_found() {
    let bench = Bench::new();
    let (one, two) = (first(&bench, &["seed=1"]), first(&bench, &["seed=2"]));
    let digest = bench.json(&["show", &one, "--json"])["digest"].clone();
    assert_eq!(bench.ok(&["tag", &one, "+good", "-tiny"]), "test\ngood\n");
    assert_eq!(bench.ok(&["tag", &one]), "test\ngood\n");
    assert_eq!(bench.ok(&["--store", "runs/r1x.sqlite", "tag", &two, "-test", "-vivid"]), "tiny\n");
    let told = bench.fails(4, &["tag", &one, "good"]);
    assert!(told.contains("write `+word`"), "{told}");
    bench.ok(&["note", &one, "the one\nfor the page"]);
    assert_eq!(bench.ok(&["note", &one]), "the one\nfor the page\n");
    assert!(bench.ok(&["show", &one]).contains("the one"));
    let said = bench.ok(&["rename", &one, "best"]);
    assert!(said.contains("is called best now"), "{said}");
    assert!(bench.path("runs/best/cold-start/final").is_dir());
    assert!(!bench.path(&format!("runs/{one}")).exists());
    let told = bench.fails(4, &["rename", &two, "best"]);
    assert!(told.contains("another run of the store is called so"), "{told}");
    assert_eq!(bench.json(&["show", "best", "--json"])["digest"], digest);
    assert_eq!(names(&bench, &["--tag", "test"]), ["best"]);
    assert_eq!(names(&bench, &["--tag", "good", "--tag", "tiny"]), Vec::<String>::new());
    assert_eq!(
        names(&bench, &["--status", "done", "--where", "seed = 2 -- mine"]),
        std::slice::from_ref(&two)
    );
    assert_eq!(names(&bench, &["--status", "failed", "--status", "crashed"]), Vec::<String>::new());
    assert_eq!(names(&bench, &["--where", "note LIKE '%page%'"]), ["best"]);
    let told = bench.fails(4, &["ls", "--where", "sead = 2"]);
    assert!(told.contains("did you mean `seed`"), "{told}");
    let told = bench.fails(4, &["ls", "--where", "1); DELETE FROM run; SELECT (1"]);
    assert!(!told.is_empty());
    let told = bench.fails(4, &["ls", "--status", "finished"]);
    assert!(told.contains("it is one of running, done"), "{told}");
    assert!(bench.ok(&["ls"]).lines().next().unwrap().contains("note"));
    // Facts are what they were, and the run goes on from its checkpoints under its new name.
    assert_eq!(bench.output(&["store", "verify"]).status.code(), Some(0));
    assert!(bench.ok(&["generate", "best", "-n", "1", "--json"]).lines().count() > 0);
    let made = bench.json(&["reproduce", "best", "--json"]);
    assert_eq!(made["reproduction"]["matches"], true, "{made}");
}

#[test]
fn a_tree_of_runs_is_shown_and_cut_from_its_end() {
    let bench = Bench::with_begun();
    let root = first(&bench, &[]);
    let again = bench.json(&["reproduce", &root, "--json"])["run"].as_str().unwrap().to_owned();
    let begins = format!("model.checkpoint={root}:cold-start");
    let begun = bench.json(&["run", BEGUN, "--set", &begins, "--json"]);
    let begun = begun["run"].as_str().unwrap().to_owned();
    let tree = bench.ok(&["ls", "--tree"]);
    let line = |run: &str| tree.lines().position(|line| line.contains(run)).unwrap();
    assert!(line(&root) < line(&again) && line(&root) < line(&begun), "{tree}");
    assert!(tree.contains(&format!("└ {again} (reproduce)")), "{tree}");
    assert!(tree.contains(&format!("└ {begun} (checkpoint)")), "{tree}");
    let nested = bench.json(&["ls", "--tree", "--json"]);
    assert_eq!(nested.as_array().unwrap().len(), 1);
    assert_eq!(nested[0]["children"].as_array().unwrap().len(), 2);
    // Nobody is there to be asked, and others stand on the first.
    let told = bench.fails(4, &["rm", &again]);
    assert!(told.contains("nobody was asked") && told.contains("--yes"), "{told}");
    let told = bench.fails(4, &["rm", &root, "--yes"]);
    assert!(told.contains("is a reproduction of it") && told.contains("--force"), "{told}");
    assert_eq!(names(&bench, &[]).len(), 3);
    let output = bench.output(&["rm", &root, &begun, "--yes", "--force"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains(&format!("removed {root}, {begun}: ")), "{said}");
    assert!(!said.contains("0 B"), "{said}");
    for run in [&root, &begun] {
        assert!(!bench.path(&format!("runs/{run}")).exists());
    }
    assert_eq!(names(&bench, &[]), std::slice::from_ref(&again));
    let shown = bench.ok(&["show", &again]);
    assert!(shown.contains("was removed from the store"), "{shown}");
    assert_eq!(bench.output(&["store", "verify"]).status.code(), Some(0));
}

#[test]
fn a_run_at_work_is_not_removed() {
    let bench = Bench::new();
    let done = first(&bench, &[]);
    // Longer than anybody looks.
    let mut started = bench.start(&["run", "small.yaml", "--set", "stages.rl.grpo.steps=20000"]);
    started.wait_for("stage rl");
    let told = bench.fails(4, &["rm", "latest", "--yes", "--force"]);
    assert!(told.contains("is being written by process"), "{told}");
    let output = bench.output(&["rm", &done, "--yes"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("`r1x store vacuum` gives it back"));
    started.signal("INT");
    let told = started.end(130);
    assert!(!told.contains("cut short"), "{told}");
    assert_eq!(names(&bench, &[]).len(), 1);
    assert_eq!(bench.output(&["store", "verify"]).status.code(), Some(0));
}

#[test]
fn what_older_steps_said_is_removed_as_the_spec_says_or_the_command_line() {
    let bench = Bench::new();
    let keeps = "record.retention={logprobs: {last_steps: 2, every: 4}}";
    let run = bench.json(&["run", "small.yaml", "--set", keeps, "--json"]);
    let (run, digest) = (run["run"].as_str().unwrap().to_owned(), run["digest"].clone());
    let forever = bench.json(&["run", "small.yaml", "--set", "seed=2", "--json"]);
    let forever = forever["run"].as_str().unwrap();
    let steps = bench.sql("SELECT max(step) + 1 AS n FROM v_rollouts WHERE run = :run")[0]["n"]
        .as_u64()
        .unwrap();
    assert!(steps > 4, "{steps}");
    let goes = (0..steps - 2).filter(|step| step % 4 > 0).count() as u64;
    let bytes = std::fs::metadata(bench.path("runs/r1x.sqlite")).unwrap().len();
    let looked = bench.json(&["gc", "--dry-run", "--json"]);
    assert_eq!(
        (&looked["removed"], &looked["store_bytes"]),
        (&false.into(), &serde_json::Value::Null)
    );
    let found = &looked["garbage"].as_array().unwrap()[..];
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["run"], &found[0]["field"]), (&run.clone().into(), &"logprobs".into()));
    assert_eq!(found[0]["steps"], goes);
    let told = bench.fails(4, &["gc"]);
    assert!(told.contains("nobody was asked") && told.contains("--dry-run"), "{told}");
    let said = bench.ok(&["gc", "--yes"]);
    assert!(said.contains("logprobs") && said.contains("removed "), "{said}");
    assert!(std::fs::metadata(bench.path("runs/r1x.sqlite")).unwrap().len() <= bytes);
    assert!(
        bench.ok(&["gc", "--yes"]).contains("nothing to remove: all that these runs have is kept")
    );
    let shown = bench.json(&["show", &format!("{run}@1.0.0"), "--json"]);
    assert_eq!(
        (&shown["logprobs"], &shown["dropped"]),
        (&serde_json::Value::Null, &serde_json::json!(["logprobs"]))
    );
    assert!(shown["tokens"].is_array());
    // On the command line for runs that are named, whatever their specs say.
    let told = bench.fails(2, &["gc", "--field", "text", "--last-steps", "1"]);
    assert!(told.contains("<RUN>") || told.contains("[RUN]"), "{told}");
    let args =
        ["gc", forever, "--field", "text", "--field", "tokens", "--last-steps", "1", "--yes"];
    assert!(bench.ok(&args).contains("tokens"));
    let page = bench.ok(&["show", &format!("{forever}@0.0.0")]);
    assert!(page.contains("(removed by `r1x gc`)"), "{page}");
    // The run is what it was: verified, and made again to its digest.
    assert_eq!(bench.output(&["store", "verify"]).status.code(), Some(0));
    assert_eq!(bench.json(&["show", &run, "--json"])["digest"], digest);
    let made = bench.json(&["reproduce", &run, "--json"]);
    assert_eq!(made["reproduction"]["matches"], true, "{made}");
    let none = Bench::new();
    none.ok(&["run", "small.yaml"]);
    assert!(none.ok(&["gc", "--dry-run"]).contains("no spec of these runs has"));
}

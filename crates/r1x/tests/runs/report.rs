//! A run as one page: it says what the store says, shows texts as they are, and fetches nothing.

use super::bench::Bench;

#[test]
fn the_page_of_a_run_stands_by_itself() {
    let bench = Bench::new();
    let run = bench.json(&["run", "small.yaml", "--json"]);
    let name = run["run"].as_str().unwrap();
    bench.ok(&["report"]);
    let page = std::fs::read_to_string(bench.path(&format!("{name}.html"))).unwrap();
    for told in
        [name, run["digest"].as_str().unwrap(), "pass@1", "cold-start", "reward.mean", "countdown"]
    {
        assert!(page.contains(told), "{told}");
    }
    // Curves are drawn, and samples are there token by token with what each reward said.
    assert!(page.matches("<svg").count() > 6);
    assert!(
        page.contains("r1x show") && page.contains(", log-prob -") && page.contains("class=\"l")
    );
    let shown = page.matches("class=\"sample\"").count();
    assert_eq!(shown, 3 * 4, "three steps of one stage, of each the best and the worst two");
    // What was asked ends with a mark, which is a text and no tag; nothing is fetched and nothing is run.
    assert!(page.contains("&lt;think&gt;") && !page.contains("<think>"));
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
    assert!(page.len() < 2_000_000, "{}", page.len());
}

#[test]
fn a_page_goes_where_it_is_asked_to_and_a_run_that_is_not_there_has_none() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "stages.rl.grpo.steps=2"]);
    bench.ok(&["report", "latest", "-o", "page.html"]);
    assert!(bench.path("page.html").is_file());
    // A report is made anew, and what somebody else has written stays.
    bench.ok(&["report", "latest", "-o", "page.html"]);
    std::fs::write(bench.path("notes.html"), "<!doctype html>mine").unwrap();
    let told = bench.fails(4, &["report", "-o", "notes.html"]);
    assert!(told.contains("is no report of r1x"), "{told}");
    assert_eq!(std::fs::read_to_string(bench.path("notes.html")).unwrap(), "<!doctype html>mine");
    assert!(bench.fails(4, &["report", "nobody"]).contains("nobody"));
    bench.ok(&["report", "-o", "new/folder/page.html"]);
    assert!(bench.fails(4, &["report", "-o", "page.html/page.html"]).contains("page.html"));
}

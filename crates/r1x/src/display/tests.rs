//! Pages as they are drawn, for pipes and for terminals of some widths.

use super::*;

const PIPE: View = View { width: None, color: Ink::Plain };

fn narrow(width: usize) -> View {
    View { width: Some(width), color: Ink::Plain }
}

fn rows(cells: &[&[&str]]) -> Vec<Vec<String>> {
    cells.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
}

fn drawn(table: Table, view: View) -> String {
    let mut page = Page::default();
    page.table(table);
    page.draw(view).text
}

#[track_caller]
fn within(text: &str, room: usize) {
    for line in text.lines() {
        assert!(width(line) <= room, "{} columns: {line}\n{text}", width(line));
    }
}

#[test]
fn numbers_go_right_and_words_left() {
    let table = Table::of(&["stage", "pass@1"], &rows(&[&["start", "0.01"], &["rl", "12.5"]]));
    assert_eq!(drawn(table, PIPE), "stage  pass@1\n─────  ──────\nstart    0.01\nrl       12.5\n");
}

#[test]
fn a_cell_cannot_leave_its_row_or_pose_as_another() {
    let evil = "ok\nerror: no\u{1b}[2K\rall good\u{8}\u{202e}";
    let text = drawn(Table::of(&["a", evil], &rows(&[&[evil, "1"]])), PIPE);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.chars().any(|c| c != '\n' && shown::is_hidden(c)), "{text}");
    assert!(text.contains("ok↵error: no␛[2K␍all good␈<U+202E>"), "{text}");
}

#[test]
fn cjk_and_emoji_take_two_columns_and_marks_none() {
    assert_eq!(width("数学👩\u{200d}👩\u{200d}👧e\u{301}"), 7);
    let table = Table::of(&["word", "n"], &rows(&[&["数学", "1"], &["abc", "2"]]));
    assert_eq!(drawn(table, PIPE), "word  n\n────  ─\n数学  1\nabc   2\n");
    assert_eq!(cut("数学数学", 5), "数学…");
    assert_eq!(cut("数学数学", 4), "数…");
    assert_eq!(cut("👩\u{200d}👩\u{200d}👧x", 2), "…");
}

#[test]
fn texts_give_way_to_numbers_and_names() {
    let long = "a very long prompt that goes on ".repeat(5);
    let row = ["countdown-otter", "done", "0.4600 ± 0.0150", long.as_str()];
    let table =
        || Table::of(&["run", "status", "pass@1", "prompt"], &rows(&[&row])).whole(&["run"]);
    let text = drawn(table(), narrow(80));
    within(&text, 80);
    assert!(text.contains("0.4600 ± 0.0150") && text.contains("countdown-otter"), "{text}");
    assert!(text.lines().nth(2).unwrap().ends_with('…'), "{text}");
    assert!(drawn(table(), PIPE).contains(long.trim_end()));
    let mut page = Page::default();
    page.table(table());
    assert_eq!(page.draw(narrow(80)).cut, Cut::Cells);
    assert_eq!(page.draw(narrow(400)).cut, Cut::Nothing);
}

#[test]
fn what_cannot_be_cut_to_fit_is_stacked() {
    let header: Vec<String> = (0..12).map(|column| format!("metric.{column}")).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let row = vec!["0.123456".to_owned(); 12];
    let text = drawn(Table::of(&header, &[row.clone(), row]), narrow(80));
    within(&text, 80);
    assert_eq!(text.lines().count(), 25, "{text}");
    assert!(text.starts_with("metric.0   0.123456\nmetric.1   0.123456\n"), "{text}");
}

#[test]
fn rows_with_names_stay_rows_in_groups_of_columns() {
    let header = ["suite", "after", "pass@1", "pass@8", "truncated", "tokens", "problems"];
    let row = |after: &str| {
        let figure = "0.4600 ± 0.0150";
        let cells = ["heldout", after, figure, figure, figure, "21.8656 ± 0.2642", "1000 × 8"];
        cells.map(str::to_owned).to_vec()
    };
    let table = Table::of(&header, &[row("start"), row("rl")]).whole(&["suite", "after"]);
    let text = drawn(table, narrow(80));
    within(&text, 80);
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("suite")).collect();
    assert_eq!(heads.len(), 2, "{text}");
    assert!(heads[0].contains("truncated") && heads[1].ends_with("problems"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("heldout  rl")).count(), 2, "{text}");
}

#[test]
fn lines_break_between_words_and_hang() {
    let mut page = Page::default();
    page.line("error: the reward `equation` of the stage `rl` cannot be asked about row 17");
    page.line("  help: write the column into the data set or take the reward out of the stage");
    let text = page.draw(narrow(40)).text;
    within(&text, 40);
    assert_eq!(
        text,
        "error: the reward `equation` of the\n  stage `rl` cannot be asked about row\n  17\n\
         \x20 help: write the column into the data\n    set or take the reward out of the\n    stage\n"
    );
    let path = format!("wrote {}", "/a/folder".repeat(9));
    let mut page = Page::default();
    page.line(&path);
    assert_eq!(page.draw(narrow(40)).text.split_whitespace().last(), path.split(' ').next_back());
}

#[test]
fn a_word_of_several_tones_is_not_torn() {
    let mut page = Page::default();
    let line = Line::of(Tone::Strong, "recipes/of/somebody.yaml");
    page.line(line.and(Tone::Plain, ": what").and(Tone::Faint, " it has"));
    let text = page.draw(narrow(24)).text;
    assert_eq!(text, "recipes/of/somebody.yaml:\n  what it has\n");
    let text = page.draw(View { color: Ink::Colored, ..narrow(24) }).text;
    assert!(text.starts_with("\u{1b}[1mrecipes/of/somebody.yaml\u{1b}[0m:\n"), "{text:?}");
    let mut page = Page::default();
    page.line(
        Line::of(Tone::Plain, "somewhere in the file ")
            .and(Tone::Strong, "x.yaml")
            .and(Tone::Plain, ":1: it"),
    );
    let text = page.draw(narrow(28)).text;
    assert_eq!(text, "somewhere in the file\n  x.yaml:1: it\n");
}

#[test]
fn a_text_keeps_its_lines_behind_its_lead() {
    let mut page = Page::default();
    page.text("  | ", "Traceback:\n\tat x\nerror: forged\u{1b}[0m");
    let text = page.draw(PIPE).text;
    assert_eq!(text, "  | Traceback:\n  |     at x\n  | error: forged␛[0m\n");
    let mut page = Page::default();
    page.text("  | ", "数学".repeat(30));
    within(&page.draw(narrow(40)).text, 40);
}

#[test]
fn fields_hang_under_their_value() {
    let mut fields = Fields::default();
    fields.add("run", "otter").add("completion", "<think>\n1 + 1\n</think>");
    let mut page = Page::default();
    page.fields(fields);
    let expected =
        "run         otter\ncompletion  <think>\n            1 + 1\n            </think>\n";
    assert_eq!(page.draw(PIPE).text, expected);
}

#[test]
fn colour_is_only_where_it_is_wanted_and_never_the_texts_own() {
    let table = || {
        let rows = rows(&[&["otter", "done"], &["lynx\u{1b}[31m", "failed"]]);
        Table::of(&["run", "status"], &rows).status(&["status"])
    };
    assert!(!drawn(table(), PIPE).contains('\u{1b}'));
    let colored = View { width: Some(80), color: Ink::Colored };
    let text = drawn(table(), colored);
    assert!(text.contains("\u{1b}[32mdone\u{1b}[0m"), "{text:?}");
    assert!(text.contains("\u{1b}[1;31mfailed\u{1b}[0m"), "{text:?}");
    assert!(text.contains("lynx␛[31m"), "{text:?}");
}

#[test]
fn what_is_redrawn_in_place_is_one_line() {
    let line = Line::of(Tone::Strong, "otter  ").and(Tone::Plain, "reward 0.5 ".repeat(20));
    assert_eq!(width(&fitted(&line, narrow(30))), 30);
    assert!(fitted(&line, narrow(30)).ends_with('…'));
}

#[test]
fn a_text_in_tones_keeps_its_lines_and_stays_inside_the_edge() {
    let spans = || {
        [
            (Tone::Faint, "one\nt"),
            (Tone::Odd, "wo \u{1b}[2J"),
            (Tone::Plain, "abcdefghijklmnopqrstuvwxyz\n"),
        ]
        .map(|(tone, text)| (tone, text.to_owned()))
        .to_vec()
    };
    let mut page = Page::default();
    page.toned("| ", spans());
    let text = page.draw(narrow(20)).text;
    within(&text, 20);
    assert_eq!(text, "| one\n| two ␛[2Jabcdefghij\n| klmnopqrstuvwxyz\n|\n");
    let colored = page.draw(View { width: None, color: Ink::Colored }).text;
    assert!(
        colored.starts_with(
            "| \u{1b}[2mone\u{1b}[0m\n| \u{1b}[2mt\u{1b}[0m\u{1b}[31mwo ␛[2J\u{1b}[0m"
        ),
        "{colored:?}"
    );
}

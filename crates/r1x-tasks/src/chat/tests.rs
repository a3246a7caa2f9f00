//! Published templates write what transformers writes, and hostile ones end within their limits.

use std::fs;

use serde_json::Value;

use super::*;

const GOLDEN: &str = include_str!("../../../r1x-model/tests/golden/tokenizers.json");
const QWEN: &str = include_str!("golden/qwen2.5.jinja");
const QWEN_3: &str = include_str!("golden/qwen3.jinja");
const QWEN_MATH: &str = include_str!("golden/qwen2.5-math.jinja");
const DEEPSEEK: &str = include_str!("golden/deepseek-v3.jinja");
const BEGIN: &str = "<｜begin▁of▁sentence｜>";

/// A published template by the name it has in the golden file.
fn named(name: &str) -> ChatTemplate {
    let (source, bos) = match name {
        "qwen2.5/tokenizer_config.json" => (QWEN, None),
        "qwen2.5/qwen3_tokenizer_config.json" => (QWEN_3, None),
        "qwen2.5/chat_template_v5_style_example.jinja" => (QWEN_MATH, None),
        "deepseek_v3/tokenizer_config.json" => (DEEPSEEK, Some(BEGIN)),
        other => panic!("no template {other}"),
    };
    ChatTemplate::new(source, bos, None).unwrap()
}

fn user(content: &str) -> Vec<Message> {
    vec![Message::new("user", content)]
}

/// What a template writes for one message of a user.
fn written(source: &str) -> Result<String, TaskError> {
    ChatTemplate::new(source, Some("<s>"), Some("</s>"))?.render(&user("hi"), true, &[])
}

#[test]
fn published_templates_write_what_transformers_writes() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let renders = golden["renders"].as_array().unwrap();
    assert_eq!(renders.len(), 29);
    for render in renders {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let messages: Vec<Message> = render["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| Message::new(text(&message["role"]), text(&message["content"])))
            .collect();
        let thinks = render["enable_thinking"].as_bool();
        let switches: Vec<_> = thinks.map(|on| ("enable_thinking", on)).into_iter().collect();
        let asks = render["add_generation_prompt"].as_bool().unwrap();
        let template = named(render["template"].as_str().unwrap());
        let found = template.render(&messages, asks, &switches).unwrap();
        assert_eq!(found, text(&render["text"]), "{} {}", render["template"], render["case"]);
    }
}

#[test]
fn one_turn_of_known_models_is_as_the_reference_lists_it() {
    let of = |source: &str, bos| {
        ChatTemplate::new(source, bos, None).unwrap().render(&user("1+1?"), true, &[]).unwrap()
    };
    assert_eq!(
        of(QWEN, None),
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n\
         <|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(of(QWEN_3, None), "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n");
    let not_thinking = named("qwen2.5/qwen3_tokenizer_config.json")
        .render(&user("1+1?"), true, &[("enable_thinking", false)])
        .unwrap();
    assert!(not_thinking.ends_with("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
    let v3 = format!("{BEGIN}<｜User｜>1+1?<｜Assistant｜>");
    assert_eq!(of(DEEPSEEK, Some(BEGIN)), v3);
    // Later revisions of R1's template begin the thought.
    let (before, after) = DEEPSEEK.rsplit_once("<｜Assistant｜>").unwrap();
    let r1 = format!("{before}<｜Assistant｜><think>\\n{after}");
    assert_eq!(of(&r1, Some(BEGIN)), format!("{v3}<think>\n"));
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(written(source).unwrap(), expected, "{source}");
}

#[test]
fn blocks_take_their_lines_along() {
    check("{% for m in messages %}\n  {% if true %}\na\n  {% endif %}\n{% endfor %}\nb\n", "a\nb");
    check("  {{ 1 }}\n", "  1");
}

#[test]
fn values_are_written_as_python_writes_them() {
    check("{{ none }} {{ true }} {{ false }} {{ missing }}|", "None True False |");
    check("{{ bos_token }}{{ eos_token }}{{ unk_token }}", "<s></s>");
    check("{{ messages[0] is mapping }} {{ messages[0].content is string }}", "True True");
    check("{{ 'tool_calls' in messages[0] }} {{ messages[0].name is defined }}", "False False");
}

#[test]
fn methods_of_python_are_there() {
    check(
        "{{ '  a b '.strip() }}|{{ 'xxaxx'.lstrip('x') }}|{{ '\na\n'.rstrip('\n') }}",
        "a b|axx|\na",
    );
    check("{{ 'a</t>b</t>c'.split('</t>')[-1] }}{{ 'a b  c'.split()[1:] | join('+') }}", "cb+c");
    check("{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('ab') }}", "True False");
    check("{{ 'a-b'.replace('-', '+') }} {{ 'ab'.upper() }} {{ 'AB'.lower() }}", "a+b AB ab");
    check("{{ ','.join(['a', 'b']) }} {{ 'aXbX'.count('X') }} {{ 'abc'.find('c') }}", "a,b 2 2");
    check("{{ messages[0].get('name') }} {{ messages[0].get('name', 'x') }}", "None x");
    check(
        "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}",
        "role=user;content=hi;",
    );
    check("{{ [1, 2, 3][::-1] | join }}{{ [1, 2, 3][-1] }}{{ [1, 2, 3][1:] | length }}", "32132");
    let source = "{% set n = namespace(i=0) %}{% for x in [5, 6, 7] %}{% if x == 7 %}{% break %}{% endif %}\
                  {% set n.i = n.i + x %}{{ loop.index0 }}{% endfor %} {{ n.i }}";
    check(source, "01 11");
    check(
        "{% macro m(x, y='d') %}<{{ x }}{{ y }}>{% endmacro %}{{ m('a') }}{{ m('a', y='b') }}",
        "<ad><ab>",
    );
    check("{% generation %}a{%- endgeneration %}{% set generation = 'b' %}{{ generation }}", "ab");
}

#[test]
fn json_is_that_of_transformers() {
    check("{{ messages[0] | tojson }}", r#"{"role": "user", "content": "hi"}"#);
    check(
        "{{ ['<a>&\\'\"', 'é你', 1, 1.5, true, none] | tojson }}",
        "[\"<a>&'\\\"\", \"é你\", 1, 1.5, true, null]",
    );
    check("{{ [] | tojson }}{{ {} | tojson }}", "[]{}");
    check("{{ {'a': [1]} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ]\n}");
    check(
        "{{ {'a': [1, 2]} | tojson(separators=[',', ':'], ensure_ascii=false) }}",
        r#"{"a":[1,2]}"#,
    );
}

#[test]
fn the_day_is_the_same_every_day() {
    check("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024");
    check("{{ strftime_now('%A, %-d') }}".replace("%-d", "%e").as_str(), "Friday, 26");
    // Llama's templates ask whether there is such a function, and write the same day where there is none.
    let llama = "{%- if strftime_now is defined %}{%- set d = strftime_now('%d %b %Y') %}{%- else %}\
                 {%- set d = '26 Jul 2024' %}{%- endif %}Today Date: {{ d }}";
    check(llama, "Today Date: 26 Jul 2024");
    let error = written("{{ strftime_now('%Q') }}").unwrap_err().to_string();
    assert!(error.ends_with("strftime_now does not know `%Q`"), "{error}");
}

#[test]
fn errors_say_what_and_where() {
    let told = |source: &str| written(source).unwrap_err().to_string();
    let prefix = "the chat template cannot be used (line 2 of it): ";
    assert_eq!(
        told("a\n{{ raise_exception('roles must alternate') }}"),
        format!("{prefix}it refuses the messages: roles must alternate")
    );
    assert!(told("a\n{% if %}").starts_with(&format!("{prefix}syntax error")));
    assert!(told("a\n{{ 'a'.swapcase() }}").starts_with(&format!("{prefix}unknown method")));
    assert!(told("a\n{{ messages[0].a.b }}").starts_with(&format!("{prefix}undefined value")));
    assert!(!written("{% if %}").unwrap_err().hint().is_empty());
}

#[test]
fn what_a_template_may_cost_has_limits() {
    let doubled = "{% set n.s = n.s.replace('a', 'aa') %}".repeat(60);
    let doubled = format!("{{% set n = namespace(s='a') %}}{doubled}{{{{ n.s | length }}}}");
    for source in [
        &doubled[..],
        "{% set x = 'a' * 16000000 %}{{ ''.join([x] * 100000) | length }}",
        "{% set x = 'a,' * 9000000 %}{{ x.split(',') | length }}",
        "{% set x = 'a' * 9000000 %}{% for i in range(99999) %}{% set y = x.count('b') %}{% endfor %}",
        "{% set x = 'a' * 9000000 %}{{ ([x] * 9999) | tojson | length }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    ] {
        let told = written(source).unwrap_err().to_string();
        assert!(told.contains("more work or memory than a prompt may"), "{told}");
    }
    let told = written("{{ '{:999999999}'.format(1) }}").unwrap_err().to_string();
    assert!(told.contains("unknown method"), "{told}");
    let told = written("{{ 'a' * 5000000 }}").unwrap_err().to_string();
    assert!(told.contains("a text of 5000000 bytes, more than 4194304"), "{told}");
    let deep = format!(
        "{{% set n = namespace(x=[]) %}}{}{{{{ n.x | tojson }}}}",
        "{% set n.x = [n.x] %}".repeat(99)
    );
    assert!(written(&deep).unwrap_err().to_string().contains("nested more than 64 times"));
    let told =
        written("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}").unwrap_err().to_string();
    assert!(told.contains("recursion"), "{told}");
    let told = written(&"a".repeat(40_000)).unwrap_err().to_string();
    assert!(told.contains("it has 40000 bytes, more than 32768"), "{told}");
}

#[test]
fn a_template_is_found_in_every_place_hubs_put_it() {
    let folder = std::env::temp_dir().join(format!("r1x-chat-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let config = |text: &str| fs::write(folder.join("tokenizer_config.json"), text).unwrap();
    assert_eq!(published(&folder).unwrap(), PublishedChat::default());
    config(
        r#"{"chat_template": "a", "bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": false}"#,
    );
    let text = |text: &str| Some(text.to_owned());
    let (template, bos, eos) = (text("a"), text("<s>"), text("</s>"));
    let expected = Marks { bos, eos, adds_bos: Some(false) };
    assert_eq!(marks(&folder).unwrap(), expected);
    assert_eq!(published(&folder).unwrap(), PublishedChat { template, marks: expected });
    config(
        r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}],
            "bos_token": null}"#,
    );
    let found = published(&folder).unwrap();
    assert_eq!((found.template, found.marks.bos), (text("d"), None));
    fs::write(folder.join("chat_template.jinja"), "file\n").unwrap();
    assert_eq!(published(&folder).unwrap().template, text("file\n"));
    fs::remove_file(folder.join("chat_template.jinja")).unwrap();
    for (written, expected) in [
        ("[", "tokenizer_config.json is no JSON"),
        (
            r#"{"chat_template": 3}"#,
            "`chat_template` of tokenizer_config.json is no text and no list",
        ),
        (r#"{"chat_template": [{"name": "rag", "template": "t"}]}"#, "none called `default`"),
        (r#"{"bos_token": 3}"#, "`bos_token` of tokenizer_config.json is no text"),
    ] {
        config(written);
        // Who needs no template is not stopped by one.
        assert_eq!(marks(&folder).is_ok(), written.contains("chat_template"), "{written}");
        let told = published(&folder).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

//! A chat template, which makes prompts of the messages of a small file.

use std::path::Path;

use r1x_core::Markup;
use r1x_core::plan::{ChatPlan, DataPlan, MessagesPlan, PromptPlan};
use r1x_tasks::dataset::MOST_BYTES;
use r1x_tasks::dataset::rows::parse;

use super::{Read, Target, said, template};

/// The target.
pub const TARGET: Target = Target {
    name: "chat",
    reads: "a chat template",
    files: &[
        "crates/r1x-tasks/src/chat/golden/deepseek-v3.jinja",
        "crates/r1x-tasks/src/chat/golden/qwen2.5.jinja",
        "crates/r1x-tasks/src/chat/golden/qwen3.jinja",
    ],
    words: &[
        "{{- ",
        " -}}",
        "{%- for m in messages %}",
        "{%- endfor %}",
        "{% if add_generation_prompt %}",
        "{% elif ",
        "{% endif %}",
        "{% set ns = namespace(a=1) %}",
        "{% generation %}",
        "{% endgeneration %}",
        "message.content",
        "messages[0]['role']",
        "messages[::-1]",
        ".split('</think>')[-1]",
        ".lstrip('\\n')",
        ".startswith('a')",
        ".join(",
        ".items()",
        " | tojson(indent=4)",
        " | trim",
        "raise_exception('no')",
        "strftime_now('%d %b %Y')",
        "bos_token",
        "loop.last",
        " * 9999",
        " is defined",
    ],
    make,
};

fn make(_: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let messages = MessagesPlan {
        system: Some("{{ which }}".to_owned()),
        user: "{{ words | join(' ') }}?".to_owned(),
        prefill: Some("<think>\n".to_owned()),
    };
    let plan = DataPlan { prompt: PromptPlan::Messages(messages), ..template::plan("", None) };
    let read = move |input: &[u8]| {
        let template = String::from_utf8_lossy(input).into_owned();
        let bos = Some("<s>".to_owned());
        let chat = Some(ChatPlan { template, bos: bos.clone(), eos: bos });
        let markup = Markup { chat, reserved: vec!["<|end|>".to_owned()] };
        said(parse(template::ROWS.as_bytes(), &plan, &markup, MOST_BYTES))
    };
    Ok((Box::new(read), Vec::new()))
}

"""Writes `tokenizers.json` beside this script: what Hugging Face's tokenizers make of some short texts, and what its
chat templates make of some conversations, for the tokenizers of two published families. Tests read the file.

Made with Python 3.11, tokenizers 0.23.3, transformers 5.24.0:

    pip install torch==2.15.0 tokenizers==0.23.3 transformers==5.24.0
    python tokenizer_ids.py FOLDER

FOLDER has folders `qwen2.5` and `deepseek_v3` with a `tokenizer.json` and a `tokenizer_config.json` each;
`qwen2.5` also has `qwen3_tokenizer_config.json` and `chat_template_v5_style_example.jinja`. Ids are those of
`tokenizer.json`, encoded without special tokens; `tokenizer.json` of neither would add any. The script is not
called `tokenizers.py` because its neighbours would then import it in place of the library.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import sys

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

VERSIONS = {"tokenizers": "0.23.3", "transformers": "5.24.0"}

TEXTS = [
    "",
    " ",
    "a",
    "Hello!",
    "Hello world",
    "hello  world   again",
    "The quick brown fox jumps over the lazy dog.",
    "It's what they'd've said, isn't it? WE'LL SEE.",
    "naïve café, coöperate — “quoted”… and ‘so on’",
    "cafe\u0301 versus caf\u00e9",
    "0 1 12 123 1234 12345 1234567890",
    "3.14159, 1,000,000 and $48.50; 50% of 1/2",
    "x\u00b2 + y\u00b2 = \u00bd, \u2162, \uff11\uff12\uff13",
    "48/2 = <<48/2=24>>24",
    "#### 72",
    "Therefore the answer is \\boxed{\\frac{3}{4}}.",
    "<think>\nFirst, 2 + 2 = 4.\n</think>\n\n<answer>4</answer>",
    "Nora baked 48 muffins in the morning and half as many in the afternoon. She sold 3/4 of them for $2 each. "
    "How many dollars did she get?",
    "A train of 12 wagons carries 250 sacks in each wagon. If 375 sacks are taken out at the first stop, how many "
    "sacks are left?\n12 * 250 = 3000\n3000 - 375 = 2625\n#### 2625",
    "你好，世界！",
    "长江的长度约为6300公里，流经11个省级行政区。",
    "问题：《红楼梦》的作者是谁？\n答案：曹雪芹",
    "第一座跨越黄河的铁路大桥建成于哪一年？请只回答年份。",
    "繁體中文：學而時習之，不亦說乎？",
    "日本語のひらがなとカタカナ、漢字123",
    "한국어 문장입니다.",
    "Привет, мир! Ёлка",
    "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया",
    "Ελληνικά και ἀρχαῖα",
    "🙂 👍🏽 👨‍👩‍👧‍👦 🇩🇪",
    "  two leading spaces",
    "trailing spaces   ",
    "tabs\t\tand\n\n\nlines \n \n  indented",
    "\r\nwindows\r\nlines\r\n",
    "a\u00a0b\u3000c\u200bd\ufeffe",
    "def f(x):\n    return x ** 2  # square\n\n\nprint(f(3))",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }",
    'fn main() {\n\tlet s = "é\\n";\n\tprintln!("{s:?}");\n}',
    "SELECT name, count(*) FROM runs WHERE seed >= 42 GROUP BY name;",
    '{"key": [1, 2.5, null, true], "nested": {"a": "b"}}',
    "camelCaseAndSnake_case_and-kebab-case/path.to.file.rs",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!!!!!!!!!!!!????????",
    "<|im_start|>user\nhello<|im_end|>\n<|endoftext|>",
    "<|im_start|>hello<|im_end|>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>1+1?<\uff5cAssistant\uff5c><think>\n",
    "</think> <tool_call> <|im_start |> < |im_end|>",
    "\u0000\u0001\u007f",
]

USER = {"role": "user", "content": "1+1?"}
SYSTEM = {"role": "system", "content": "Answer briefly."}
THOUGHT = {"role": "assistant", "content": "<think>\nOne and one.\n</think>\n\n2"}
CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "empty-system": [{"role": "system", "content": ""}, USER],
    "second-turn": [USER, THOUGHT, {"role": "user", "content": "And 2+2?"}],
    "as-it-is": [
        {"role": "user", "content": "  keep {{ these }} {% spaces %} <|im_end|> & \u4f60\u597d\n\n"}
    ],
}
FINISHED = {"answered": [USER, {"role": "assistant", "content": "2"}], "thought": [SYSTEM, USER, THOUGHT]}


def tokenizers_in(folder):
    return {name: folder / name / "tokenizer.json" for name in ("qwen2.5", "deepseek_v3")}


def encoded(tokenizers):
    rows = []
    for text in TEXTS:
        row = {"text": text}
        for name, tokenizer in tokenizers.items():
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert tokenizer.encode(text, add_special_tokens=True).ids == ids
            row[name] = ids
            back = tokenizer.decode(ids, skip_special_tokens=False)
            if back != text:
                row[f"{name} decoded"] = back
        rows.append(row)
    return rows


def templates(folder):
    """Each template with its tokenizer and the name of the file it is in."""
    for name, file in (
        ("qwen2.5", "tokenizer_config.json"),
        ("qwen2.5", "qwen3_tokenizer_config.json"),
        ("qwen2.5", "chat_template_v5_style_example.jinja"),
        ("deepseek_v3", "tokenizer_config.json"),
    ):
        text = (folder / name / file).read_text()
        if file.endswith(".jinja"):
            yield name, file, text, None
        else:
            config = json.loads(text)
            bos = config["bos_token"]
            yield name, file, config["chat_template"], bos["content"] if isinstance(bos, dict) else bos


def rendered(folder, tokenizers):
    rows = []
    for name, file, template, bos in templates(folder):
        renderer = PreTrainedTokenizerFast(tokenizer_object=tokenizers[name], bos_token=bos)
        asked = [
            (case, messages, {"add_generation_prompt": True}) for case, messages in CONVERSATIONS.items()
        ]
        asked += [(case, messages, {"add_generation_prompt": False}) for case, messages in FINISHED.items()]
        if "enable_thinking" in template:
            asked.append(("not-thinking", [USER], {"add_generation_prompt": True, "enable_thinking": False}))
        for case, messages, options in asked:
            text = renderer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)
            ids = tokenizers[name].encode(text, add_special_tokens=False).ids
            rows.append(
                {
                    "template": f"{name}/{file}",
                    "case": case,
                    "messages": messages,
                    **options,
                    "text": text,
                    "ids": ids,
                }
            )
    return rows


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


def main(folder):
    for package, version in VERSIONS.items():
        found = importlib.metadata.version(package)
        assert found == version, f"{package} is {found}; this file is made with {version}"
    folder = pathlib.Path(folder)
    files = tokenizers_in(folder)
    tokenizers = {name: Tokenizer.from_file(str(file)) for name, file in files.items()}
    hashes = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    said = (
        f'{{"versions": {json.dumps(VERSIONS)},\n"sha256_of_tokenizer_json": {json.dumps(hashes)},\n'
        f'"texts": {lines(encoded(tokenizers))},\n"renders": {lines(rendered(folder, tokenizers))}}}\n'
    )
    json.loads(said)
    pathlib.Path(__file__).with_name("tokenizers.json").write_text(said)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tokenizer_ids.py FOLDER")
    main(sys.argv[1])

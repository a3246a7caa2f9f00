//! Tokenizers of GGUF files: small ones that are written here, that of Qwen2.5 as a converter would write it, and that of
//! a file of somebody else.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tests::File;
use crate::Tokenizer;
use crate::published::Published;
use crate::published::texts::{SpecialIds, Texts};

/// A file with a tokenizer of bytes that occur in `a 5\n`, some merges and three special tokens.
fn small(pre: &str) -> File {
    let tokens = [
        "<s>", "</s>", "a", "5", "Ġ", "Ċ", "ĠĠ", "Ġa", "aa", "Ġ5", "55", "aaa", "<tool>", "[PAD]",
        "A",
    ];
    let mut kinds = vec![1; tokens.len()];
    (kinds[0], kinds[1], kinds[12], kinds[13]) = (3, 3, 4, 5);
    let mut file = File::default();
    file.text("general.architecture", "llama")
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", pre)
        .texts("tokenizer.ggml.tokens", &tokens)
        .kinds("tokenizer.ggml.token_type", &kinds)
        .texts("tokenizer.ggml.merges", &["Ġ Ġ", "Ġ a", "a a", "Ġ 5", "5 5"])
        .count("tokenizer.ggml.bos_token_id", 0)
        .count("tokenizer.ggml.eos_token_id", 1)
        .count("tokenizer.ggml.eot_token_id", 12)
        .count("tokenizer.ggml.padding_token_id", 1)
        .text("tokenizer.chat_template", "{{ messages }}");
    // A model around it, which has one layer of width 2.
    for (key, count) in [
        ("block_count", 1),
        ("context_length", 8),
        ("embedding_length", 2),
        ("feed_forward_length", 2),
        ("attention.head_count", 1),
    ] {
        file.count(&format!("llama.{key}"), count);
    }
    file.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    file.tensor("token_embd.weight", &[tokens.len(), 2], vec![0.0; 2 * tokens.len()]);
    file
}

fn texts(file: &File) -> Result<Texts, String> {
    let (_folder, path) = file.write();
    let texts = Published::open(&path).unwrap().texts();
    texts.map_err(|error| {
        let told = error.to_string();
        let told = told.strip_prefix(&format!("{}: ", path.display())).unwrap();
        let end = "; a tokenizer.json of the same model beside the file takes its place";
        told.strip_suffix(end).unwrap().to_owned()
    })
}

fn ids(pre: &str, text: &str) -> Vec<u32> {
    let texts = texts(&small(pre)).unwrap();
    let tokenizer =
        Tokenizer::from_bytes(texts.file("tokenizer.json").unwrap(), &["</s>"]).unwrap();
    let ids = tokenizer.encode(text).unwrap();
    assert_eq!(tokenizer.decode(&ids), text.replace("</s>", ""));
    ids
}

#[test]
fn texts_are_split_as_the_word_says() {
    // By hand: which pieces stand together before merges is what differs.
    assert_eq!(ids("gpt-2", "a  5"), [2, 4, 9]);
    assert_eq!(ids("gpt-2", "55 55"), [10, 9, 3]);
    assert_eq!(ids("smollm", "a  5"), [2, 6, 3]);
    assert_eq!(ids("smollm", "55 55"), [3, 3, 4, 3, 3]);
    assert_eq!(ids("qwen2", "55 55"), [3, 3, 4, 3, 3]);
    assert_eq!(ids("qwen2", "a\n\n a"), [2, 5, 5, 7]);
    assert_eq!(ids("llama-bpe", "5555"), [10, 3, 3]);
    // A text that is a piece is that piece, for those who ignore merges.
    assert_eq!(ids("llama-bpe", "aaa"), [11]);
    assert_eq!(ids("qwen2", "aaa"), [8, 2]);
}

#[test]
fn special_tokens_are_found_before_texts_are_split() {
    assert_eq!(ids("gpt-2", "a<tool>a</s>"), [2, 12, 2, 1]);
    let texts = texts(&small("llama-bpe")).unwrap();
    assert_eq!(texts.ids, SpecialIds { bos: Some(0), eos: vec![1, 12], pad: Some(1) });
    assert_eq!(texts.file("chat_template.jinja"), Some(&b"{{ messages }}"[..]));
    let json = |name: &str| serde_json::from_slice::<Value>(texts.file(name).unwrap()).unwrap();
    let tokenizer = json("tokenizer.json");
    let added = tokenizer["added_tokens"].as_array().unwrap().iter();
    let added: Vec<_> = added.map(|one| (one["id"].as_u64(), one["special"].as_bool())).collect();
    assert_eq!(added, [0, 1, 12].map(|id| (Some(id), Some(id != 12))));
    assert!(tokenizer["model"]["vocab"].get("[PAD]").is_none(), "what fills a place is no piece");
    // Llama 3 begins a text, which others are told and r1x does not do by itself.
    assert_eq!(tokenizer["post_processor"]["special_tokens"]["<s>"]["ids"][0], 0);
    let config = json("tokenizer_config.json");
    let expected = serde_json::json!({
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "add_bos_token": true,
        "clean_up_tokenization_spaces": false,
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    assert_eq!(config, expected);
    let generation = json("generation_config.json");
    assert_eq!(generation["eos_token_id"], serde_json::json!([1, 12]));
}

#[test]
fn a_tokenizer_that_cannot_be_said_is_refused() {
    let known = "what is known: gpt-2, llama-bpe, qwen2, smollm";
    let told = |change: &dyn Fn(&mut File)| {
        let mut file = small("gpt-2");
        change(&mut file);
        texts(&file).unwrap_err()
    };
    assert_eq!(
        told(&|file| drop_of(file.text("tokenizer.ggml.pre", "tekken"))),
        format!("`tokenizer.ggml.pre` is `tekken`; {known}")
    );
    assert_eq!(
        told(&|file| drop_of(file.text("tokenizer.ggml.pre", "default"))),
        format!(
            "`tokenizer.ggml.pre` is `default`, which is what converters write that did not know; {known}"
        )
    );
    let missing = told(&|file| drop_of(file.without("tokenizer.ggml.pre")));
    assert!(missing.starts_with("`tokenizer.ggml.pre` is missing, so nobody knows"), "{missing}");
    assert_eq!(
        told(&|file| drop_of(file.text("tokenizer.ggml.model", "llama"))),
        "`tokenizer.ggml.model` is `llama`; what is known: gpt2"
    );
    assert_eq!(
        told(&|file| drop_of(file.kinds("tokenizer.ggml.token_type", &[1]))),
        "it has 15 tokens, and 1 kinds of tokens"
    );
    assert_eq!(
        told(&|file| drop_of(file.count("tokenizer.ggml.eos_token_id", 15))),
        "`tokenizer.ggml.eos_token_id` is none of the 15 tokens"
    );
    assert_eq!(
        told(&|file| drop_of(file.texts("tokenizer.ggml.merges", &["ab"]))),
        "the merge `ab` is no pair"
    );
    assert_eq!(
        told(&|file| {
            let tokens = ["<s>", "<s>"];
            file.texts("tokenizer.ggml.tokens", &tokens);
            drop_of(file.kinds("tokenizer.ggml.token_type", &[3, 3]));
        }),
        "the token `<s>` is there twice"
    );
    // Without a tokenizer a model is one all the same.
    let mut none = small("gpt-2");
    none.text("tokenizer.ggml.model", "no_vocab");
    assert_eq!(texts(&none).unwrap(), Texts::default());
}

/// Ends a chain of changes.
fn drop_of(_: &mut File) {}

#[test]
fn a_tokenizer_beside_the_file_takes_its_place() {
    let (folder, path) = small("tekken").write();
    let published = Published::open(&path).unwrap();
    assert!(published.texts().is_err());
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let texts = published.texts().unwrap();
    assert_eq!(texts.files, [("tokenizer.json".to_owned(), b"{}".to_vec())]);
}

#[test]
fn expressions_are_those_that_are_published() {
    let expression = |pre: &str| {
        let texts = texts(&small(pre)).unwrap();
        let json: Value = serde_json::from_slice(texts.file("tokenizer.json").unwrap()).unwrap();
        json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].as_str().unwrap().to_owned()
    };
    // From the files `tokenizer.json` of Qwen2.5 and of Llama 3.1.
    assert_eq!(
        expression("qwen2"),
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    assert_eq!(
        expression("llama-bpe"),
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
}

/// Ids are those of tokenizers 0.23.3 for the model's own `tokenizer.json`, whose splitting is every digit alone, then
/// GPT-2's; the texts are those of `tokenizers.json`, and some with blanks before digits.
#[test]
#[ignore = "needs models/smollm2"]
fn smollm2_is_encoded_as_its_own_tokenizer_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/smollm2");
    let texts = Published::open(&folder).unwrap().texts().unwrap();
    assert_eq!(texts.ids, SpecialIds { bos: Some(1), eos: vec![2], pad: Some(2) });
    let json = texts.file("tokenizer.json").unwrap();
    let tokenizer = Tokenizer::from_bytes(json, &["<|im_end|>"]).unwrap();
    assert_eq!((tokenizer.len(), tokenizer.eos()), (49_152, 2));
    let golden: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests/golden/smollm2-ids.json"].iter().collect();
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    for case in golden.as_array().unwrap() {
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{text:?}");
    }
}

//! Files that are out to do harm, through the function that a run reads them with.
//!
//! Must not check what the tokenizers crate does with files that are fine, beyond that it does it.

use serde_json::{Value, json};

use crate::tokenizer::Tokenizer;

fn words() -> Value {
    json!({
        "version": "1.0",
        "model": {"type": "WordLevel", "vocab": {"<e>": 0, "a": 1, "b": 2}, "unk_token": "<e>"},
        "pre_tokenizer": {"type": "WhitespaceSplit"},
    })
}

fn pairs() -> Value {
    let vocab = json!({"<e>": 0, "a": 1, "b": 2, "ab": 3, "é": 4});
    json!({"version": "1.0", "model": {"type": "BPE", "vocab": vocab, "merges": ["a b"]}})
}

fn pieces() -> Value {
    let vocab = json!([["<e>", 0.0], ["a", -1.0], ["b", -2.0]]);
    json!({"version": "1.0", "model": {"type": "Unigram", "vocab": vocab, "unk_id": 0}})
}

/// The file with the value at a pointer replaced or added.
fn with(mut file: Value, pointer: &str, value: Value) -> Value {
    if let Some(known) = file.pointer_mut(pointer) {
        *known = value;
        return file;
    }
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    file.pointer_mut(parent).unwrap()[key] = value;
    file
}

fn read(file: &Value) -> Result<Tokenizer, String> {
    let bytes = serde_json::to_vec(file).unwrap();
    Tokenizer::from_bytes(&bytes, &["<e>"]).map_err(|error| error.to_string())
}

#[track_caller]
fn check_refused(file: &Value, expected: &str) {
    match read(file) {
        Ok(_) => panic!("{file} is accepted"),
        Err(error) => assert!(error.contains(expected), "{error}"),
    }
}

#[test]
fn ids_and_merges_stay_inside_the_vocabulary() {
    check_refused(
        &with(words(), "/model/vocab/a", json!(4_294_967_295_u32)),
        "has the id 4294967295",
    );
    check_refused(&with(words(), "/model/vocab/a", json!(1 << 20)), "ids end at 1048575");
    check_refused(&with(words(), "/model/vocab/a", json!(-1)), "invalid value");
    let added = json!([{"id": u32::MAX, "content": "x", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": false}]);
    check_refused(&with(words(), "/added_tokens", added), "has the id 4294967295");
    for merges in
        [json!(["a c"]), json!([["b", "a"]]), json!([["b", "b"]]), json!([["<e>", "<e>"]])]
    {
        check_refused(&with(pairs(), "/model/merges", merges), "which the vocabulary lacks");
    }
    check_refused(&with(pairs(), "/model/merges", json!(["a b c"])), "more than one blank");
    check_refused(&with(pairs(), "/model/merges", json!([["a", "b", "c"]])), "of two tokens");
    // Half of the first byte of a character is no prefix.
    let prefixed = with(pairs(), "/model/continuing_subword_prefix", json!("##"));
    check_refused(&prefixed, "lacks the prefix of subwords");
    check_refused(&with(pairs(), "/model/dropout", json!(0.5)), "draws merges at random");
    check_refused(&with(pieces(), "/model/unk_id", json!(3)), "`unk_id` is 3");
    check_refused(&with(pieces(), "/model/vocab", json!([])), "`unk_id` is 0");
    check_refused(&with(pieces(), "/model/vocab/0/1", json!(1e300)), "has the score");
    check_refused(&with(pieces(), "/model/vocab", json!({"a": 0})), "list of pieces and scores");
    check_refused(
        &with(words(), "/model/vocab", json!([["a", 0.5]])),
        "only that of a Unigram model",
    );
}

#[test]
fn components_cannot_leave_a_token_or_make_a_text_without_end() {
    let strip = |stop: u64, start: u64| json!({"type": "Strip", "content": " ", "start": start, "stop": stop});
    check_refused(&with(words(), "/decoder", strip(4_000_000_000, 0)), "set `stop` to 0");
    check_refused(&with(words(), "/decoder", strip(1, 0)), "set `stop` to 0");
    check_refused(&with(words(), "/decoder", strip(0, 4_000_000_000)), "strips more than");
    assert!(read(&with(words(), "/decoder", strip(0, 1))).is_ok());
    let fixed = json!({"type": "FixedLength", "length": 0});
    check_refused(&with(words(), "/pre_tokenizer", fixed), "`length` outside of");
    let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let many = json!({"type": "Sequence", "normalizers": vec![replace; 7]});
    check_refused(&with(words(), "/normalizer", many), "more than 64 times longer");
    let nothing = json!({"type": "Replace", "pattern": {"String": ""}, "content": "aa"});
    check_refused(&with(words(), "/normalizer", nothing), "looks for an empty text");
    let long = json!({"type": "Prepend", "prepend": "a".repeat(257)});
    check_refused(&with(words(), "/normalizer", long), "257 bytes, more than 256");
    let levels = json!({"type": "Sequence", "normalizers": vec![json!({"type": "ByteLevel"}); 4]});
    check_refused(&with(words(), "/normalizer", levels), "more than 3 components");
    let parts = json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 64]});
    check_refused(&with(words(), "/normalizer", parts), "more than 64 components");
    let parts = json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 65]});
    check_refused(&with(words(), "/normalizer", parts), "more than 64 entries");
    let deep = (0..100).fold(
        json!({"type": "NFC"}),
        |inner, _| json!({"type": "Sequence", "normalizers": [inner]}),
    );
    assert!(read(&with(words(), "/normalizer", deep)).is_err());
    check_refused(&with(words(), "/normalizer", json!({"clean_text": true})), "has no `type`");
    check_refused(
        &with(words(), "/model/vocab", json!({"a".repeat(2_000): 1})),
        "a token has 2000 bytes",
    );
}

#[test]
fn truncation_padding_and_special_tokens_are_left_out() {
    let mut file = words();
    file["truncation"] =
        json!({"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 9});
    file["padding"] = json!({"strategy": {"Fixed": 4_000_000_000_u32}, "direction": "Right",
        "pad_to_multiple_of": null, "pad_id": 4_294_967_295_u32, "pad_type_id": 0, "pad_token": "p"});
    file["post_processor"] = json!({"type": "BertProcessing", "sep": ["b", 99], "cls": ["b", 99]});
    let tokenizer = read(&file).unwrap();
    assert_eq!(tokenizer.encode("a b a").unwrap(), [1, 2, 1]);
    assert_eq!(tokenizer.len(), 3);
}

#[test]
fn a_character_map_is_walked_before_it_is_used() {
    let map = |trie: &[u32], texts: &str| {
        let mut bytes = (trie.len() as u32 * 4).to_le_bytes().to_vec();
        trie.iter().for_each(|unit| bytes.extend(unit.to_le_bytes()));
        bytes.extend(texts.as_bytes());
        base64::encode(bytes)
    };
    let file = |map: String| {
        with(words(), "/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": map}))
    };
    // The root leads to the second block, where `A` has a leaf in the third, which says where its text starts.
    let trie = |offset: u32, value: u32| {
        let mut units = vec![0_u32; 768];
        units[0] = offset << 10;
        units[256 ^ 65] = (512 ^ 256 ^ 65) << 10 | 1 << 8 | 65;
        units[512] = 1 << 31 | value;
        units
    };
    let tokenizer = read(&file(map(&trie(256, 0), "a\0"))).unwrap();
    assert_eq!(tokenizer.encode("A b").unwrap(), [1, 2]);
    check_refused(&file(map(&trie(768, 0), "a\0")), "leads outside of itself");
    check_refused(&file(map(&trie(256, 7), "a\0")), "outside of its text");
    check_refused(&file(map(&trie(256, 1), "é\0")), "outside of its text");
    check_refused(&file(map(&[], "")), "its trie is empty");
    check_refused(&file("AAAA////".to_owned()), "shorter than it says");
    check_refused(&file(base64::encode([255, 255, 255, 255])), "shorter than it says");
    check_refused(&file(base64::encode([1, 2])), "has no length");
    check_refused(&file("no base64!".to_owned()), "not base64");
    check_refused(&file(map(&trie(256, 0), &"a".repeat(300))), "too long a text");
}

#[test]
fn a_file_has_a_limit_on_its_size() {
    let large = vec![b' '; super::MOST_BYTES + 1];
    let error = Tokenizer::from_bytes(&large, &["<e>"]).unwrap_err().to_string();
    assert!(error.contains("larger than 64 MiB"), "{error}");
    let text = "a ".repeat(9 << 20);
    let error = read(&words()).unwrap().encode(&text).unwrap_err().to_string();
    assert!(error.contains("more than 16 MiB"), "{error}");
}

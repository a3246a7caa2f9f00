//! Which language words are in: by script where that decides, else by the small words of their sentence.
//!
//! Deterministic, and made for judging what a model wrote, not for the web: where nothing speaks for a language,
//! there is no answer.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

/// A writing system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Latin letters.
    Latin,
    /// Cyrillic letters.
    Cyrillic,
    /// Arabic letters.
    Arabic,
    /// Devanagari.
    Devanagari,
    /// Chinese characters.
    Han,
    /// Hiragana and katakana.
    Kana,
    /// Hangul.
    Hangul,
    /// Greek.
    Greek,
    /// Hebrew.
    Hebrew,
    /// Thai.
    Thai,
    /// Bengali.
    Bengali,
    /// Gurmukhi.
    Gurmukhi,
    /// Gujarati.
    Gujarati,
    /// Tamil.
    Tamil,
    /// Telugu.
    Telugu,
    /// Kannada.
    Kannada,
    /// Malayalam.
    Malayalam,
}

/// A language: its ISO 639-1 code, its script, and, where several share it, its most frequent small words.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    /// ISO 639-1 code.
    pub code: &'static str,
    /// Its script.
    pub script: Script,
    words: &'static str,
}

const fn language(code: &'static str, script: Script, words: &'static str) -> Language {
    Language { code, script, words }
}

/// Every language that is told apart. Small words that two languages share are in both lists.
pub const LANGUAGES: &[Language] = &[
    language(
        "en",
        Script::Latin,
        "the of and to in is that it for on with as was are be this have from at by not or an you they we but his her all can will would there their which so if what when one my your has had do does then i me he she no",
    ),
    language(
        "de",
        Script::Latin,
        "der die das und ist nicht ein eine zu den von mit sich auf für dem des im auch es ich wir sie er als an wie aber oder wenn so nur noch werden wird hat haben sind war bei nach aus einen einem einer um dass daher also man kann",
    ),
    language(
        "fr",
        Script::Latin,
        "le la les de des et est un une du que qui dans pour pas sur ne se ce il elle nous vous je avec plus par au aux sont être donc on mais ou où cette ces son sa ses leur comme si nous avons fait alors",
    ),
    language(
        "es",
        Script::Latin,
        "el la los las de y es un una que en no se por con para su al lo como más pero sus le ya o este sí porque esta entre cuando muy sin sobre también me hasta hay donde son del entonces tenemos si uno",
    ),
    language(
        "it",
        Script::Latin,
        "il lo la i gli le di e è un una che non in per con si da del della dei delle sono ha ma come più anche al alla questo questa nel nella se o ho abbiamo quindi cui essere perché dal",
    ),
    language(
        "pt",
        Script::Latin,
        "o a os as de e é um uma que não em para com se por do da dos das no na nos nas ao mais como mas foi ele ela são seu sua ou ser quando muito está também já eu isso pelo pela então temos",
    ),
    language(
        "nl",
        Script::Latin,
        "de het een en van is dat niet in op te zijn met voor er aan ook als bij maar om dan zo ik je we hij zij wordt naar uit kan dit die door over nog wel geen moeten hebben heeft dus",
    ),
    language(
        "pl",
        Script::Latin,
        "i w na nie że się z do to jest jak o ale po co tak za od czy który która oraz dla przez być są ma ich tym tego już jego także może więc bo",
    ),
    language(
        "fi",
        Script::Latin,
        "ja on ei se että hän oli ovat mutta kun niin kuin myös tai joka jos ole sen voi minä sinä me te he tämä ne vain nyt mitä hänen kanssa ennen olla ollut",
    ),
    language(
        "sv",
        Script::Latin,
        "och att det som en på är av för med den till inte om ett han har de jag var sig från vi så kan man när nu hon under också eller vid där ska",
    ),
    language(
        "tr",
        Script::Latin,
        "ve bir bu da de için ile çok ne o gibi daha ama var mı kadar ben sen biz olarak olan değil ki en her sonra şey ise göre",
    ),
    language(
        "id",
        Script::Latin,
        "yang dan di untuk dengan dari ini itu tidak pada adalah akan dalam ke juga saya kita anda mereka bisa ada oleh atau sebagai karena telah",
    ),
    language(
        "vi",
        Script::Latin,
        "và của là có không được trong cho một các với những này đã người để khi đó như từ ra cũng tôi bạn rất nhiều hơn sẽ phải về lại nên",
    ),
    language(
        "sw",
        Script::Latin,
        "na ya wa kwa ni katika za la kuwa hii hiyo cha yake lakini pia au kama si hivyo sana watu mimi wewe sisi wao huo hili vya yangu yako wetu ili zaidi",
    ),
    language(
        "ru",
        Script::Cyrillic,
        "и в не на что я с он как это по но из у за от так же для она они мы вы то все его к бы было если или есть чтобы ты",
    ),
    language(
        "uk",
        Script::Cyrillic,
        "і в не на що я з він як це по але у за від так для вона вони ми ви то все його до та є або чи якщо щоб ти ще",
    ),
    language(
        "bg",
        Script::Cyrillic,
        "и в не на че аз с той как това по но от за така тя те ние вие се да ще са е или ако към при има със може като",
    ),
    language(
        "ar",
        Script::Arabic,
        "في من على إلى أن هذا هذه التي الذي لا ما هو هي مع عن كان كل أو ثم قد بعد إن كما لم بين ذلك و",
    ),
    language(
        "fa",
        Script::Arabic,
        "و در به از که این را با است برای آن یک خود تا بر هم نیز می شود شد ما من شما آنها اما یا هر های کرد",
    ),
    language(
        "ur",
        Script::Arabic,
        "کے میں کی ہے اور سے کا کو پر نے یہ ہیں کہ اس وہ ایک بھی نہیں کر ہو جو تھا لیے ان ہم آپ گیا",
    ),
    language(
        "hi",
        Script::Devanagari,
        "के में की है और से का को पर ने यह हैं कि इस वह एक भी नहीं कर हो जो था लिए हम आप तो या गया",
    ),
    language(
        "mr",
        Script::Devanagari,
        "आणि आहे या की ते हे मी तो ती आम्ही तुम्ही नाही होते आहेत एक पण च्या साठी मध्ये केले करू असे जे काय त्या होता",
    ),
    language(
        "ne",
        Script::Devanagari,
        "र छ मा को का यो लाई हो छन् पनि गर्न भएको एक म तपाईं हामी तर छैन थियो गरेको भने हुन्छ यस लागि सबै",
    ),
    language("zh", Script::Han, ""),
    language("ja", Script::Kana, ""),
    language("ko", Script::Hangul, ""),
    language("el", Script::Greek, ""),
    language("he", Script::Hebrew, ""),
    language("th", Script::Thai, ""),
    language("bn", Script::Bengali, ""),
    language("pa", Script::Gurmukhi, ""),
    language("gu", Script::Gujarati, ""),
    language("ta", Script::Tamil, ""),
    language("te", Script::Telugu, ""),
    language("kn", Script::Kannada, ""),
    language("ml", Script::Malayalam, ""),
];

/// Codes of all languages, for the settings of rewards.
pub const CODES: &[&str] = &[
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "fi", "sv", "tr", "id", "vi", "sw", "ru", "uk",
    "bg", "ar", "fa", "ur", "hi", "mr", "ne", "zh", "ja", "ko", "el", "he", "th", "bn", "pa", "gu",
    "ta", "te", "kn", "ml",
];

/// Scripts of several languages.
const SHARED: [Script; 4] = [Script::Latin, Script::Cyrillic, Script::Arabic, Script::Devanagari];

/// First and last code point of a script's blocks.
const BLOCKS: &[(u32, u32, Script)] = &[
    (0x41, 0x5a, Script::Latin),
    (0x61, 0x7a, Script::Latin),
    (0xc0, 0x24f, Script::Latin),
    (0x370, 0x3ff, Script::Greek),
    (0x400, 0x52f, Script::Cyrillic),
    (0x590, 0x5ff, Script::Hebrew),
    (0x600, 0x6ff, Script::Arabic),
    (0x750, 0x77f, Script::Arabic),
    (0x900, 0x97f, Script::Devanagari),
    (0x980, 0x9ff, Script::Bengali),
    (0xa00, 0xa7f, Script::Gurmukhi),
    (0xa80, 0xaff, Script::Gujarati),
    (0xb80, 0xbff, Script::Tamil),
    (0xc00, 0xc7f, Script::Telugu),
    (0xc80, 0xcff, Script::Kannada),
    (0xd00, 0xd7f, Script::Malayalam),
    (0xe00, 0xe7f, Script::Thai),
    (0x1100, 0x11ff, Script::Hangul),
    (0x1e00, 0x1eff, Script::Latin),
    (0x3040, 0x30ff, Script::Kana),
    (0x3130, 0x318f, Script::Hangul),
    (0x3400, 0x4dbf, Script::Han),
    (0x4e00, 0x9fff, Script::Han),
    (0xac00, 0xd7af, Script::Hangul),
    (0x20000, 0x323af, Script::Han),
];

/// The script of a letter; `None` for digits, marks, and scripts that no language here uses.
pub fn script(c: char) -> Option<Script> {
    if c.is_ascii() {
        return c.is_ascii_alphabetic().then_some(Script::Latin);
    }
    let code = u32::from(c);
    let at = BLOCKS.partition_point(|(_, last, _)| *last < code);
    let (first, _, script) = BLOCKS.get(at)?;
    // Digits and marks lie inside the blocks; vowel signs, which are no letters to Rust, belong to their word.
    let is_mark = c.is_numeric()
        || matches!(code, 0xd7 | 0xf7 | 0x60c | 0x61b | 0x61f | 0x964 | 0x965 | 0xe3f | 0x30fb);
    (*first <= code && !is_mark).then_some(*script)
}

/// The language with this code.
pub fn by_code(code: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.code == code)
}

/// Words of one language in a text, and words of any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Words in the language.
    pub matching: usize,
    /// All words.
    pub all: usize,
}

/// How many words of a text are in a language. Numbers, single Latin letters (variables) and LaTeX commands are
/// no words; a Chinese character is one. A sentence in a shared script counts for the language that most of its
/// small words speak for, and where none does, for the one before it, at first for the language asked for.
pub fn share(text: &str, language: &Language) -> Share {
    let mut share = Share::default();
    let mut spoken: Vec<(Script, &'static str)> = Vec::new();
    for sentence in sentences(text) {
        let words: Vec<(Script, &str)> = words(sentence).collect();
        let has_kana = words.iter().any(|(script, _)| *script == Script::Kana);
        for (script, code) in SHARED.into_iter().zip(spoken_in(&words)) {
            if let Some(code) = code {
                spoken.retain(|(other, _)| *other != script);
                spoken.push((script, code));
            }
        }
        for (script, _) in &words {
            share.all += 1;
            // A Japanese sentence writes its nouns in Chinese characters.
            let japanese = matches!(script, Script::Kana) || (*script == Script::Han && has_kana);
            let matches = match language.script {
                Script::Kana => japanese,
                Script::Han => *script == Script::Han && !has_kana,
                wanted => {
                    let told = spoken.iter().find(|(other, _)| *other == wanted);
                    *script == wanted && told.is_none_or(|(_, code)| *code == language.code)
                }
            };
            share.matching += usize::from(matches);
        }
    }
    share
}

/// The language that most words of a text are in; `None` where nothing speaks for one.
pub fn detect(text: &str) -> Option<&'static Language> {
    let mut counts = vec![0_usize; LANGUAGES.len()];
    for sentence in sentences(text) {
        let words: Vec<(Script, &str)> = words(sentence).collect();
        let has_kana = words.iter().any(|(script, _)| *script == Script::Kana);
        let spoken = spoken_in(&words);
        for (script, _) in &words {
            let code = match script {
                Script::Han if has_kana => Some("ja"),
                Script::Han => Some("zh"),
                script => match SHARED.iter().position(|shared| shared == script) {
                    Some(at) => spoken[at],
                    None => LANGUAGES.iter().find(|own| own.script == *script).map(|own| own.code),
                },
            };
            let at = LANGUAGES.iter().position(|language| Some(language.code) == code);
            if let Some(at) = at {
                counts[at] += 1;
            }
        }
    }
    let most = counts.iter().copied().max().filter(|most| *most > 0)?;
    counts.iter().position(|count| *count == most).map(|at| &LANGUAGES[at])
}

/// FNV-1a: the words are short and come from nobody who wants them to collide.
#[derive(Clone, Copy)]
struct ShortWords(u64);

impl Default for ShortWords {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for ShortWords {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// By small word, a bit for each language that has it.
type SmallWords = HashMap<&'static str, u64, BuildHasherDefault<ShortWords>>;

/// For every small word, the languages that have it: bit n stands for the nth of [`LANGUAGES`].
fn small_words() -> &'static SmallWords {
    static TABLE: OnceLock<SmallWords> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = SmallWords::default();
        for (at, language) in LANGUAGES.iter().enumerate() {
            for word in language.words.split(' ').filter(|word| !word.is_empty()) {
                *table.entry(word).or_insert(0) |= 1 << at;
            }
        }
        table
    })
}

/// The languages that have this small word.
fn speaks_for(word: &str) -> u64 {
    let table = small_words();
    let lower = word.bytes().all(|byte| byte.is_ascii_lowercase());
    let found = if lower { table.get(word) } else { table.get(word.to_lowercase().as_str()) };
    found.copied().unwrap_or(0)
}

/// For each of the shared scripts, the language that most small words speak for; `None` without any, or in a tie.
fn spoken_in(words: &[(Script, &str)]) -> [Option<&'static str>; SHARED.len()] {
    let (mut counts, mut heard) = ([0_usize; 64], 0_u64);
    let mut looked = [0_usize; SHARED.len()];
    for (script, word) in words {
        let Some(at) = SHARED.iter().position(|shared| shared == script) else { continue };
        if looked[at] == 200 {
            continue;
        }
        looked[at] += 1;
        for language in bits(speaks_for(word)) {
            counts[language] += 1;
            heard |= 1 << language;
        }
    }
    let mut best = [(0, None); SHARED.len()];
    for language in bits(heard) {
        let (Language { script, code, .. }, count) = (LANGUAGES[language], counts[language]);
        for (best, _) in best.iter_mut().zip(SHARED).filter(|(_, shared)| *shared == script) {
            match count.cmp(&best.0) {
                Ordering::Greater => *best = (count, Some(code)),
                Ordering::Equal => best.1 = None,
                Ordering::Less => {}
            }
        }
    }
    best.map(|(_, code)| code)
}

/// Which bits are set, from the lowest on.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (set != 0).then(|| set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        lowest
    })
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let ends =
        |c| matches!(c, '.' | '!' | '?' | '\n' | ';' | '。' | '！' | '？' | '；' | '।' | '؟');
    text.split(ends)
}

/// Words with their scripts.
fn words(text: &str) -> impl Iterator<Item = (Script, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let c = rest.chars().next()?;
            if c == '\\' {
                // A LaTeX command is not language.
                let length = rest[1..].bytes().take_while(u8::is_ascii_alphabetic).count();
                rest = &rest[1 + length..];
                continue;
            }
            let Some(kind) = script(c) else {
                rest = &rest[c.len_utf8()..];
                continue;
            };
            let length = match kind {
                Script::Han => c.len_utf8(),
                _ => rest
                    .find(|c: char| {
                        script(c) != Some(kind) && !matches!(c, '\'' | '’' | '\u{200c}')
                    })
                    .unwrap_or(rest.len()),
            };
            let (word, after) = rest.split_at(length);
            rest = after;
            if kind != Script::Latin || word.trim_end_matches(['\'', '’']).len() > 1 || word == "I"
            {
                return Some((kind, word));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_table_agree() {
        let codes: Vec<&str> = LANGUAGES.iter().map(|language| language.code).collect();
        assert_eq!(codes, CODES);
        assert!(BLOCKS.windows(2).all(|pair| pair[0].1 < pair[1].0), "blocks are sorted");
    }

    #[test]
    fn languages_are_told_apart() {
        for (code, text) in [
            ("en", "We know that the sum of the two numbers is seven, so this is it."),
            ("de", "Die Summe der beiden Zahlen ist sieben, also sind wir fertig."),
            ("fr", "La somme des deux nombres est sept, donc nous avons fini."),
            ("es", "La suma de los dos números es siete, por lo que hemos terminado."),
            ("it", "La somma dei due numeri è sette, quindi abbiamo finito."),
            ("pt", "A soma dos dois números é sete, então terminamos com isso."),
            ("nl", "De som van de twee getallen is zeven, dus we zijn klaar."),
            ("fi", "Summa on seitsemän, ja se on oikein, mutta ei vielä valmis."),
            ("vi", "Tổng của hai số là bảy, và đó là câu trả lời của tôi."),
            ("sw", "Jumla ya namba hizi ni saba, na hiyo ni jibu la swali."),
            ("ru", "Сумма этих чисел равна семи, и это не что иное, как ответ."),
            ("bg", "Сборът на числата е седем и това е отговорът, който се търси."),
            ("ar", "مجموع العددين هو سبعة من أن هذا في السؤال"),
            ("fa", "مجموع این دو عدد هفت است و این را می دانیم که برای ما"),
            ("ur", "ان دو اعداد کا مجموعہ سات ہے اور یہ جواب ہے"),
            ("hi", "इन दो संख्याओं का योग सात है और यह उत्तर है"),
            ("mr", "या दोन संख्यांची बेरीज सात आहे आणि हे उत्तर आहे"),
            ("ne", "यी दुई संख्याको योग सात हो र यो उत्तर पनि हो"),
            ("zh", "这两个数的和是七。"),
            ("ja", "この二つの数の和は七です。"),
            ("ko", "두 수의 합은 칠이다."),
            ("th", "ผลรวมของสองจำนวนคือเจ็ด"),
            ("bn", "এই দুটি সংখ্যার যোগফল সাত"),
            ("kn", "ಈ ಎರಡು ಸಂಖ್ಯೆಗಳ ಮೊತ್ತ ಏಳು"),
        ] {
            assert_eq!(detect(text).map(|language| language.code), Some(code), "{text}");
            let share = share(text, by_code(code).unwrap());
            assert_eq!(share.matching, share.all, "{text}");
        }
        assert_eq!(detect("12 + 3").map(|language| language.code), None);
    }

    #[test]
    fn mixtures_have_shares() {
        let english = by_code("en").unwrap();
        let of = |text: &str| share(text, english);
        assert_eq!(of("We add 3 and x, so \\frac{1}{2}."), Share { matching: 4, all: 4 });
        assert_eq!(of("The sum is 七 of them."), Share { matching: 5, all: 6 });
        assert_eq!(of("The sum is seven. Das ist nicht die Summe."), Share { matching: 4, all: 9 });
        assert_eq!(of(""), Share::default());
    }
}

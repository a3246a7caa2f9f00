//! The codes of diagnostics and what they mean, for `r1x explain`.
//!
//! Codes are never renumbered or reused.

/// A code and its explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// `R1X0103`.
    pub code: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// A paragraph.
    pub text: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub(crate) const $name: &str = $code;)*
        /// All codes in ascending order.
        pub static CODES: &[CodeInfo] = &[$(CodeInfo { code: $code, title: $title, text: $text }),*];
    };
}

codes! {
    SYNTAX = "R1X0101", "the file is not YAML",
        "The text could not be read as YAML 1.2: a bracket or quote is open, an indentation does not \
         fit, a tab indents a line, or the bytes are not UTF-8. Reading stops at the first such place, \
         so mend it and check again.";
    LIMITS = "R1X0102", "the file is larger than any spec",
        "Specs are written by people, so files above 1 MiB, more than 64 levels of nesting or more than \
         20000 values are refused before they can use up memory.";
    UNKNOWN_KEY = "R1X0103", "unknown key",
        "Every key must be known, because a misspelled key that is passed over trains something else \
         than was asked for. The help lists the keys that are known at this place; `r1x schema` writes \
         them all for editors.";
    MISSING_KEY = "R1X0104", "a key is missing",
        "This map needs a key that has no default. A key written without a value, or with `null`, counts \
         as not written.";
    WRONG_TYPE = "R1X0105", "a value has the wrong type",
        "The value is of another kind than the key takes, for example text where a number is needed. \
         YAML reads an unquoted 5 as a number and true as a truth value; put text that looks like one of \
         them in quotes.";
    OUT_OF_RANGE = "R1X0106", "a number is out of range",
        "The number is not one this key can take: a learning rate must be above 0, a probability between \
         0 and 1, a count at least 1.";
    PASS_AT_K = "R1X0107", "pass@k needs at least k samples",
        "pass@k is the chance that at least one of k samples is correct. It can be estimated without bias \
         from n samples only when n is at least k, so raise `samples` or report a smaller k.";
    DUPLICATE_KEY = "R1X0108", "a key is written twice",
        "YAML maps have each key once. Most readers silently keep the last value; r1x asks which one is \
         meant.";
    ONE_OF = "R1X0109", "exactly one alternative is needed",
        "Some maps hold exactly one of several keys: a stage is of one kind (`sft`, `grpo` and so on), attention is \
         `gqa` or `mla`, feed_forward is `dense` or `moe`, a data set is `countdown`, `jsonl` or `parquet` \
         and asks by a `prompt` or by `messages`, a tokenizer is `data`, `vocabulary` or `file`, rope_scaling \
         is `linear`, `llama3` or `yarn`.";
    UNKNOWN_NAME = "R1X0110", "a name refers to nothing",
        "Data sets, rewards and evals are named by their ids; this id is not one of them. A split is \
         written behind the id of its data set: `countdown.train` or `countdown.heldout`.";
    DUPLICATE_ID = "R1X0111", "an id or a list entry is used twice",
        "Ids address stages and evals in `--set`, in `extends` and in the store, so each may be used once; \
         a list of names has each name once.";
    SHAPE = "R1X0112", "the sizes of the model do not fit together",
        "For example: key/value heads must divide the heads, rotary widths must be even because \
         dimensions turn in pairs, groups must divide the experts, and a token cannot choose more experts \
         than its groups hold.";
    COUNTS = "R1X0113", "numbers contradict each other",
        "Each number may be right by itself, but not together: a micro batch larger than its batch, a \
         limit above the number of problems, a completion longer than the context, a group too small to \
         compare anything, a suite that never runs.";
    EXTENDS = "R1X0114", "`extends` cannot be followed",
        "`extends` names one other spec, which may extend a further one, at most 8 deep and never in a \
         circle. Maps merge, lists of entries with ids merge by id, everything else is replaced; a map \
         that holds one of several alternatives is replaced when another alternative is given; `null` \
         drops an inherited key and `drop: true` an inherited entry.";
    SET = "R1X0115", "`--set` cannot be followed",
        "`--set path=value` takes the path of a key, with dots between its parts and ids for list \
         entries, for example stages.rl.grpo.lr=1e-4. The value is YAML. It counts like a file that \
         extends the spec.";
    VERSION = "R1X0116", "another version of the spec format",
        "The key `r1x` says which version of the spec format a file is written in. This r1x knows version \
         1 and does not guess what a later one means.";
    FEATURE = "R1X0117", "a feature of YAML that specs do not use",
        "Anchors, aliases, tags, keys that are not plain words, and several documents in one file are \
         refused: they make positions, limits and overrides ambiguous. Use `extends` to share parts.";
    NO_SOLUTIONS = "R1X0118", "the data has no worked solutions",
        "Supervised fine-tuning learns from worked solutions. Generated data has them; a file needs \
         a column with them, named by `solution`.";
    UNKNOWN_WORD = "R1X0119", "a word is not one of the choices",
        "This key takes one of a few words, spelled exactly as the help lists them.";
    BAD_NAME = "R1X0120", "a name or text is malformed",
        "Names and ids are letters, digits, `-` and `_`, start with a letter or digit and are at most 64 \
         characters, so that they can stand in paths of `--set` and in file names. Other short texts have \
         a form of their own, which the message tells.";
    HELDOUT = "R1X0121", "a stage trains on held-out problems",
        "Held-out problems are only ever evaluated on; a figure measured on problems the policy has seen \
         says nothing about problems it has not. Train on the `train` split of the data set.";
    CONDITION = "R1X0131", "a reward's condition cannot be followed",
        "`only_if` names another reward, which must reach a bound for this one to count. It has to be scored in \
         the same stage (with weight 0 it decides and adds nothing), be able to reach the bound, and not depend \
         on the reward it decides about.";
    FOR = "R1X0132", "rewards and data do not meet",
        "A reward with `for` judges only the problems that match it. In every stage and eval that uses \
         it, it must judge something, and in a stage every data set needs a reward that judges it: rollouts that \
         nobody judges teach nothing.";
    KL_GRADIENT = "R1X0141", "the penalty has no gradient on average",
        "This is a warning: the run goes on. `k1` is the log-ratio of a sampled token. Its mean is the divergence, but \
         the gradient of a sampled log-prob is 0 on average, so that as a term of the loss it pulls nowhere and only \
         adds noise. `k2` has the gradient of the divergence, and `k3` is the estimator of GRPO.";
    KL_SCALED = "R1X0142", "the penalty is divided by its own deviation",
        "This is a warning: the run goes on. With `kl.in: reward` the penalty is part of what rollouts are compared by. In \
         a group of equal rewards it is all that differs, and `group_normalized` divides it by its own deviation: however \
         small it is, it becomes as large as the difference between right and wrong.";
    UNUSED = "R1X0143", "an entry of the spec is of no use",
        "This is a warning: the run goes on. A model under `models`, a data set, a reward or a judge stands in the spec, \
         and no stage and no suite uses it. Data is read and plugins are loaded all the same. Entries of specs that are \
         extended are not told.";
    SWEEP = "R1X0151", "a sweep cannot be followed",
        "`sweep.matrix` has the paths of keys, as `--set` takes them, each with the list of its values, for example \
         `{seed: [1, 2, 3], stages.rl.grpo.lr: [1e-4, 3e-4]}`. Every combination of the values is a run. A key is varied \
         once, by one path, and a value is listed once; there are at most 1000 combinations.";
    RECIPE = "R1X0161", "a recipe of another system cannot be imported",
        "`r1x import-spec` reads recipes of TRL, open-r1 and verl. This one is no such recipe, or it trains in a way that \
         r1x does not have, as GRPO with a single completion of \
         each prompt.";
    MISSING_FILE = "R1X0201", "a file cannot be read",
        "A file the spec names is missing or unreadable. Relative paths start at the folder of the spec \
         file that mentions them; in `--set` they start at the current folder.";
    PLUGIN = "R1X0202", "a reward plugin cannot be used",
        "The file is not a WebAssembly component of the r1x reward world, or it refused its \
         configuration given under `with`.";
    COLUMNS = "R1X0203", "a reward needs a column the data lacks",
        "Reward plugins say which columns of a problem they read. Every data set they score, in stages \
         and in evals, must have these columns.";
    DATA = "R1X0204", "the data cannot be used",
        "The data set could not be read or built as described. The message says what stands in the way, for \
         example a row without a column or too few different problems.";
    TOKENIZER = "R1X0205", "the tokenizer cannot be used",
        "The tokenizer file is no `tokenizer.json` or lacks the end-of-sequence token, the vocabulary is \
         empty or has a piece twice, or `messages` are written for a model whose chat template is missing \
         or cannot be read.";
    CAPABILITY = "R1X0206", "a plugin asks for more than it is granted",
        "A plugin sees text and nothing else, unless the spec grants what its component asks for: the key \
         `grant` of the reward lists `assets`, `exec` or `judge`. What is granted must also be had on this \
         machine, an interpreter for instance.";
}

/// The explanation of a code, e.g. of `R1X0103`; case does not matter.
pub fn explain(code: &str) -> Option<&'static CodeInfo> {
    CODES.iter().find(|info| info.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ascending_and_explained() {
        assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
        for info in CODES {
            assert!(info.text.len() > 60 && info.text.ends_with('.'), "{}", info.code);
        }
        assert_eq!(explain("r1x0107").map(|info| info.code), Some(PASS_AT_K));
        assert_eq!(explain("R1X9999"), None);
    }
}

//! The examples of data sets.

use super::Example;

pub(super) const EXAMPLES: &[Example] = &[
    Example {
        path: "data.ID",
        text: "
data:
  sums:
    jsonl: {path: sums.jsonl, columns: [question, answer]}
    prompt: \"{{ question }} =\"",
    },
    Example {
        path: "data.ID.messages",
        text: "
model:
  tokenizer: {file: tokenizer.json, eos: <|im_end|>, chat_template: chat_template.jinja}
data:
  sums:
    jsonl: {path: sums.jsonl, columns: [question, answer]}
    messages:
      system: Think first. Then write the number between <answer> and </answer>.
      user: \"{{ question }}\"
      prefill: \"<think>\\n\"             # the answer begins with it, and rewards see it",
    },
    Example {
        path: "data.ID.countdown",
        text: "
data:
  harder:
    countdown:
      count: [3, 4]
      numbers: [1, 50]
      target: [10, 100]
      operations: \"+-*/\"
      train: 20000
      heldout: 500
      trace: search
      seed: 7
    prompt: \"{{ nums | join(' ') }} -> {{ target }} <think>\"",
    },
    Example {
        path: "data.ID.arithmetic",
        text: "
data:
  sums:
    arithmetic:
      modulus: 20
      numbers: [1, 5]
      steps: [2, 3]
      operations: \"+-*\"
      languages: [en, de]
      mixed_thoughts: 0.3          # of the cold start's thoughts, to be unlearnt by the reward `language`
      train: 8000
      heldout: 400
      seed: 7
    prompt: \"{{ question }} <think>\"",
    },
    Example {
        path: "data.ID.strings",
        text: "
data:
  letters:
    strings:
      tasks: [reverse, count, nth, sort]
      letters: 8
      length: [3, 6]
      languages: [en, de]
      mixed_thoughts: 0.3
      train: 8000
      heldout: 400
      seed: 7
    prompt: \"{{ question }} <think>\"",
    },
    Example {
        path: "data.ID.requests",
        text: "
data:
  requests:
    requests: {refuse: 0.25, flawed: 0.4, languages: [en, de], train: 3000, heldout: 400, seed: 7}
    prompt: \"{{ question }} ->\"",
    },
    Example {
        path: "data.ID.jsonl",
        text: "
data:
  sums:
    jsonl:
      path: sums.jsonl
      heldout: 0.2
      columns: [question, answer]
      solution: worked
      answer: answer
    prompt: \"{{ question }} =\"",
    },
    Example {
        path: "data.ID.jsonl",
        text: "
data:
  sums:
    jsonl:
      path: sums.jsonl
      heldout: 0.2
      columns: {target: answer, asked: question}       # the file's `answer` is what a reward calls `target`
      solution: answer
      answer: answer
    prompt: \"{{ asked }} =\"",
    },
    Example {
        path: "data.ID.jsonl",
        text: "
data:
  gsm8k:
    parquet:
      path: gsm8k/main                               # train-….parquet and test-….parquet, as published
      solution: answer
      answer: answer
      answer_after: \"####\"                          # the solution ends with #### 42
    prompt: \"{{ question }}\"",
    },
    Example {
        path: "data.ID.jsonl",
        text: "
data:
  pairs:
    parquet: {path: pairs, solution: chosen, rejected: rejected}   # texts, or lists of messages
    prompt: \"{{ prompt }}\"",
    },
];

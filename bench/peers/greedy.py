"""Compares greedy answers of r1x and transformers, token by token, in f32.

    python bench/peers/greedy.py MODEL QUESTIONS.jsonl [--count 50] [--max-tokens 256] [--r1x target/release/r1x]

MODEL is a folder that both read (`r1x model import` makes one), QUESTIONS.jsonl has an object with `question` on each
line. Each question is asked as one message of the user, with the model's chat template. Where two answers part, the two
largest logits of transformers at that position are printed: a difference below 1e-4 is one of rounding.
"""

import argparse
import json
import subprocess
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def ours(r1x, model, messages, max_tokens):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(messages, file)
        file.flush()
        command = [r1x, "generate", model, "--messages", file.name, "--temperature", "0", "--json"]
        command += ["--max-tokens", str(max_tokens), "--precision", "f32", "--threads", "1"]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(line.splitlines()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("questions")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--r1x", default="target/release/r1x")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    equal, tokens = 0, 0
    with open(args.questions) as lines:
        questions = [json.loads(line)["question"] for line in lines][: args.count]
    for index, question in enumerate(questions):
        messages = [{"role": "user", "content": question}]
        answer = ours(args.r1x, args.model, messages, args.max_tokens)
        asked = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        assert asked["input_ids"][0].tolist() == answer["prompt_tokens"], f"prompt {index}"
        with torch.no_grad():
            written = model.generate(
                **asked, max_new_tokens=args.max_tokens, do_sample=False, repetition_penalty=1.0
            )
        theirs = written[0, asked["input_ids"].shape[1] :].tolist()
        pairs = list(zip(answer["tokens"], theirs))
        tokens += len(pairs)
        if answer["tokens"] == theirs:
            equal += 1
            continue
        at = next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
        seen = written[:, : asked["input_ids"].shape[1] + at]
        with torch.no_grad():
            top = model(seen).logits[0, -1].topk(2).values
        print(f"question {index}: part at token {at}, the largest logits differ by {top[0] - top[1]:.2e}")
    print(f"{equal} of {len(questions)} answers are equal, {tokens} tokens compared")


if __name__ == "__main__":
    main()

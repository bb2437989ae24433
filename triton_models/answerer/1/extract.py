"""Choose the sentences that answer a question. No Triton here: numbers in, sentences out."""

import math
import re
from collections import Counter

import numpy as np

KEEP = 12  # sentences that are embedded, after a lexical first pass
ANSWER = 3  # sentences in an answer
MEANING = 0.75  # weight of embedding similarity; the rest is the share of question words found
ENOUGH = 0.30  # below this score there is no evidence
RELATED = 0.75  # a further sentence needs this share of the best score
DIVERSITY = 0.3  # maximal marginal relevance: cost of repeating what is already chosen

NO_EVIDENCE = "The passages do not contain an answer to this question."
STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can did do does for from had has have how i if in is it its my of on or our should "
        "so that the their them there they this to was we were what when where which who why will with you your",
    )
)
SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\n+")
OWN_MARK = re.compile(r" ?\[\d+(?:\s*,\s*\d+)*\]")  # a document's own footnote would read as a citation of ours
WORD = re.compile(r"[^\W_]+")
WRAPPED = 60  # a line at least this long that ends without a full stop goes on in the next one


def words(text):
    """Content words with a crude plural and tense cut, so that 'refunds' meets 'refund'."""
    found = [w for w in WORD.findall(text.lower()) if w not in STOP]
    return [re.sub(r"(ies|es|ed|ing|s)$", "", w) if len(w) > 4 else w for w in found]


def question_of(asked):
    """The last question; a short follow-up is read together with the one before it."""
    if len(asked) > 1 and len(words(asked[-1])) < 3:
        return asked[-2] + " " + asked[-1]
    return asked[-1] if asked else ""


def unwrapped(text):
    """The text with lines joined that were broken only to fit a width; other line ends part sentences."""
    joined, before = [], ""
    for line in text.split("\n"):
        long = len(before) >= WRAPPED and not before.rstrip().endswith((".", "!", "?", ":"))
        goes_on = bool(before.strip()) and (line[:1].islower() or (long and line[:1].isalnum()))
        joined.append((" " if goes_on else "\n") + line)
        before = line
    return "".join(joined)


def unmarked(text):
    """The text without its own marks, also those that come about when one is taken out of another."""
    while (without := OWN_MARK.sub("", text)) != text:
        text = without
    return text


def candidates(question, passages):
    """(passage number, sentence, share of question words) of the lexically best sentences."""
    sentences, seen = [], set()
    for number, text in passages:
        for sentence in SENTENCE.split(unwrapped(unmarked(text))):
            sentence = " ".join(sentence.split())
            if len(words(sentence)) >= 3 and not sentence.endswith("?") and sentence not in seen:
                seen.add(sentence)
                sentences.append((number, sentence))
    bags = [set(words(s)) for _, s in sentences]
    df = Counter(w for bag in bags for w in bag)
    wanted = set(words(question))
    weight = {w: math.log(1 + len(sentences) / (0.5 + df[w])) for w in wanted}
    total = sum(weight.values()) or 1.0
    scored = [(n, s, sum(weight[w] for w in wanted & bag) / total) for (n, s), bag in zip(sentences, bags, strict=True)]
    return sorted(scored, key=lambda c: -c[2])[:KEEP]


def choose(found, vectors):
    """Sentences that answer, best first. vectors[0] is the question, the rest follow `found`."""
    if not found:
        return []
    question, rest = vectors[0], vectors[1:]
    score = MEANING * (rest @ question) + (1 - MEANING) * np.array([c[2] for c in found])
    best = float(score.max())
    if best < ENOUGH:
        return []
    left = [i for i in range(len(found)) if score[i] >= max(ENOUGH, RELATED * best)]
    taken = []
    while left and len(taken) < ANSWER:
        repeat = [max((float(rest[i] @ rest[j]) for j in taken), default=0.0) for i in left]
        gain = [(1 - DIVERSITY) * score[i] - DIVERSITY * r for i, r in zip(left, repeat, strict=True)]
        pick = int(np.argmax(gain))
        if taken and repeat[pick] > 0.9:
            left.pop(pick)
            continue
        taken.append(left.pop(pick))
    return [(found[i][0], found[i][1]) for i in taken]


def pieces(chosen):
    """The answer, word by word, each sentence with its citation."""
    if not chosen:
        yield from re.findall(r"\S+\s*", NO_EVIDENCE)
        return
    for k, (number, sentence) in enumerate(chosen):
        end = "" if k == len(chosen) - 1 else " "
        yield from re.findall(r"\S+\s*", f"{sentence} [{number}]{end}")

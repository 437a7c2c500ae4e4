"""Names cut to what a figure has room for, never so that two of them read the same."""

from collections.abc import Iterable, Sequence

_CUT = "…"


def shortened(labels: Iterable[str], most: int) -> dict[str, str]:
    """Every distinct label in about `most` characters, no two of them alike.

    What is left out is in the middle, and first the words that all long labels have in common; a label
    stays longer than `most` where it must, to be told from the others.
    """
    distinct = list(dict.fromkeys(labels))
    long = [label for label in distinct if len(label) > most]
    short = {label: label for label in distinct if label not in long}
    shared = set.intersection(*(set(label.split()) for label in long)) if len(long) > 1 else set()
    for label in long:
        short[label] = _in_the_middle(_without(label.split(), shared, most), most)
    for alike in _alike(short):
        short |= dict(zip(alike, _where_they_differ(alike, most), strict=True))
    for alike in _alike(short):  # with what was short already, or with another such group
        short |= {label: label for label in alike}
    return (
        {label: label for label in distinct} if _alike(short) else {label: short[label] for label in distinct}
    )


def _alike(short: dict[str, str]) -> list[list[str]]:
    """The labels that read the same when they are shortened."""
    groups: dict[str, list[str]] = {}
    for label, text in short.items():
        groups.setdefault(text, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _without(words: Sequence[str], shared: set[str], most: int) -> str:
    """The words without as many of the shared ones as it takes, the first and the last word apart."""
    kept = list(words)
    for place in range(len(words) - 2, 0, -1):
        if len(_joined(kept)) <= most:
            break
        if words[place] in shared:
            kept[place] = _CUT
    return _joined(kept)


def _joined(words: Sequence[str]) -> str:
    """The words with one sign for each run that is left out."""
    return " ".join(
        word for place, word in enumerate(words) if not (place and word == words[place - 1] == _CUT)
    )


def _in_the_middle(label: str, most: int) -> str:
    return label if len(label) <= most else f"{label[: most // 2]}{_CUT}{label[len(label) - most // 2 + 1 :]}"


def _where_they_differ(labels: Sequence[str], most: int) -> list[str]:
    """The labels with what differs kept whole, and as much of what they share as there is room for."""
    head = _common(labels)
    tail = _common([label[head:][::-1] for label in labels])
    differ = max(len(label) - head - tail for label in labels)
    room = max(most - differ - 2 * len(_CUT), 8)
    first, last = min(head, room // 2), min(tail, room // 2)
    texts = []
    for label in labels:
        begin = label[:head] if head <= first + len(_CUT) else label[:first] + _CUT
        end = label[len(label) - tail :] if tail <= last + len(_CUT) else _CUT + label[len(label) - last :]
        texts.append(begin + label[head : len(label) - tail] + end)
    return texts


def _common(labels: Sequence[str]) -> int:
    """How many characters all labels begin with."""
    letters = zip(*labels, strict=False)
    return next((n for n, each in enumerate(letters) if len(set(each)) > 1), min(map(len, labels)))

"""Which part of a model's answer is the program."""

import re

# Backticks, then at most a language to the line's end. A run of backticks is looked at from its
# start only: a long one must not take time quadratic in its length.
_FENCE = re.compile(r"(?<!`)(`{3,})(?!`)[^`\n]*(?:\n|\Z)")


def extract_program(completion_text: str, answer_prefix: str = "") -> str | None:
    """Returns the program in an answer, or None when there is none.

    The first fenced code block counts, whatever its language tag; as in the field's graders it
    ends at the next fence, wherever on a line that stands. A block that is never closed ends with
    the answer (the model ran out of tokens). Where `answer_prefix` ends inside a block, the
    completion starts inside it, and code in the prefix belongs to the program. Without any fence
    the whole answer counts: prose will not compile.

    Args:
      completion_text: what the model wrote.
      answer_prefix: the beginning of the answer that the prompt gave, for example '```python\\n'.
    """
    text = answer_prefix + completion_text
    opening = _FENCE.search(text)
    if opening is None:
        return text if text.strip() else None
    end = text.find(opening.group(1), opening.end())
    program = text[opening.end() : end if end >= 0 else len(text)]
    return program if program.strip() else None

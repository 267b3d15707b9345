"""Text that others have written, in a form that a terminal shows and does not obey. Pure."""

import json


def printable(text: str, keep: str = "\n\t") -> str:
    """`text`, with every character that is not printable written as JSON writes it: an escape as `\\u001b`.

    What is not printable (str.isprintable) includes control characters, marks of direction and surrogates; of them
    those in `keep` stay. In a JSON document this changes no value.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else json.dumps(each)[1:-1] for each in text)

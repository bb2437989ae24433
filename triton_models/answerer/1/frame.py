"""Reads the frame that Turnlog's prompt puts around passages, earlier turns and the question.

All text inside is escaped, so nothing in a document can close a tag or open one.
"""

import re
from html import unescape

PASSAGE = re.compile(r'<passage n="(\d+)"[^>]*>\n(.*?)\n</passage>', re.DOTALL)
EARLIER = re.compile(r'<earlier role="(\w+)"[^>]*>\n(.*?)\n</earlier>', re.DOTALL)
QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)


def passages(text):
    """(number, text) of each passage shown."""
    return [(int(number), unescape(body)) for number, body in PASSAGE.findall(text)]


def questions(text):
    """What the user asked, oldest first; the last one is to be answered."""
    asked = [unescape(body) for role, body in EARLIER.findall(text) if role == "user"]
    return asked + [unescape(body) for body in QUESTION.findall(text)[-1:]]

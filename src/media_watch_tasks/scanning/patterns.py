r"""Wildcard patterns as regular expressions on the bytes of names, case-insensitive.

A pattern is text; names are bytes, usually UTF-8. `*` stands for any run of bytes, `?` for one character, `[abc]`,
`[a-z]` and `[!abc]` for one character of a set or outside it. In a path pattern none of them crosses a slash, `**`
does, and `**/` stands for any number of folders, none included. There is no escape: `[*]` is a star.

The expressions are meant for names whose ASCII letters are lower case already (`bytes.lower`). Other letters match in
the case of the pattern and in both of their own. NUL is never matched: it separates names in a text of many.
"""

from __future__ import annotations

import re

from media_watch_tasks.errors import ConfigurationError

__all__ = ["name_expression", "path_expression"]

# One character of UTF-8, or one stray byte. Atomic: a character is never taken apart to make a pattern fit.
_CHARACTER = rb"(?>[\x01-\x7f]|[\xc2-\xf4][\x80-\xbf]{1,3}|[\x80-\xff])"
_NO_SLASH = rb"(?!/)"
_LARGEST_RANGE = 1_024


def name_expression(pattern: str) -> bytes:
    """The expression for a pattern on names. Raises `ConfigurationError` if it is none."""
    if "/" in pattern:
        raise ConfigurationError(f"the name pattern {pattern!r} holds a slash: a path pattern is meant (exclude_paths)")
    return _expression(pattern, in_path=False)


def path_expression(pattern: str) -> bytes:
    """The expression for a pattern on paths relative to the root. Raises `ConfigurationError` if it is none."""
    if pattern.startswith("/") or pattern.endswith("/"):
        raise ConfigurationError(f"the path pattern {pattern!r} must be relative to the root and end without a slash")
    return _expression(pattern, in_path=True)


def _expression(pattern: str, *, in_path: bool) -> bytes:
    if not pattern or "\0" in pattern:
        raise ConfigurationError(f"{pattern!r} is no pattern: it is empty or holds a NUL")
    parts: list[bytes] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        within = _NO_SLASH if in_path and character in "?[" else b""
        if in_path and pattern.startswith("**/", position):
            parts.append(rb"(?:[^\x00]*/)?")
            position += 3
        elif character == "*":
            end = len(pattern) - len(pattern[position:].lstrip("*"))
            crosses = not in_path or end - position > 1
            parts.append(_star(crosses=crosses, before=pattern[end : end + 1]))
            position = end
        elif character == "?":
            parts.append(within + _CHARACTER)
            position += 1
        elif character == "[":
            end = pattern.find("]", position + 2 + pattern.startswith("[!", position))
            if end < 0:
                raise ConfigurationError(f"the pattern {pattern!r} opens a set with [ and does not close it")
            parts.append(within + _set(pattern[position + 1 : end], pattern))
            position = end + 1
        else:
            parts.append(_literal(character))
            position += 1
    return b"".join(parts)


def _star(*, crosses: bool, before: str) -> bytes:
    if before in {"?", "["}:
        # Whole characters only: what follows must not find the second half of one.
        return b"(?:" + (b"" if crosses else _NO_SLASH) + _CHARACTER + b")*"
    return rb"[^\x00]*" if crosses else rb"[^\x00/]*"


def _literal(character: str) -> bytes:
    forms = sorted({_encoded(form) for form in (character, character.lower(), character.upper()) if len(form) == 1})
    if character.isascii():
        return re.escape(character.lower().encode("ascii"))
    return b"(?:" + b"|".join(map(re.escape, forms)) + b")" if len(forms) > 1 else re.escape(forms[0])


def _encoded(character: str) -> bytes:
    # Names that are no UTF-8 reach a pattern as lone surrogates, from os.fsdecode.
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return character.encode("utf-8", "surrogatepass")


def _set(body: str, pattern: str) -> bytes:
    negated = body.startswith("!")
    characters: list[str] = []
    members = body[1:] if negated else body
    position = 0
    while position < len(members):
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            first, last = ord(members[position]), ord(members[position + 2])
            if not 0 <= last - first < _LARGEST_RANGE:
                raise ConfigurationError(f"the pattern {pattern!r} has a range that is empty or too large: [{body}]")
            characters.extend(map(chr, range(first, last + 1)))
            position += 3
        else:
            characters.append(members[position])
            position += 1
    choice = b"(?:" + b"|".join(sorted({_literal(character) for character in characters})) + b")"
    return b"(?!" + choice + b")" + _CHARACTER if negated else choice

"""Hides the user, the password and the query of every URL in a text."""

import re

# With the backslashes that a command line may put before ':' and '/', and with a slash too few or too many.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+\\*:\\*/[\\/]*")
_NEXT = re.compile(r"(.[\s,;'\"=(\[{|]|::)[A-Za-z][A-Za-z0-9+.-]+\\*:\\*/[\\/]+$")
_PORT = re.compile(r"\d*[^\w\s%]*(\s.*)?")  # and the punctuation that follows a URL in a sentence
_REST_OF_WORD = r"\S+?(?=['\"),:;}\]]*(?:\s|$))"
_WORD = re.compile(_REST_OF_WORD)
_QUERY = re.compile(rf"^([^\s?]*\?){_REST_OF_WORD}")
_INTERPOLATION = re.compile(r"\$\{[^{}@?]*\}")  # ${oc.env:NAME} is what the record keeps


def hidden(text: str) -> str:
    """The text with an ellipsis for the user, the password and the query of every URL in it."""
    shown, end, scheme = "", 0, ""
    for match in _SCHEME.finditer(text):
        within = scheme and "\n" not in text[end : match.start()]
        if within and not _NEXT.match(text, match.start() - 2, match.end()):
            continue  # it may be part of a password
        shown += scheme + _without_secrets(scheme, text[end : match.start()])
        scheme, end = match[0], match.end()
    return shown + scheme + _without_secrets(scheme, text[end:])


def _without_secrets(scheme: str, rest: str) -> str:
    """`rest`, what follows a URL's scheme up to the next URL or the end, with its secrets hidden."""
    if not scheme:
        return rest
    line, newline, below = rest.partition("\n")
    plain = _INTERPOLATION.sub(lambda match: "x" * len(match[0]), line)
    host = re.split("[/?]", plain, maxsplit=1)[0]
    after = host.rpartition("]")[2] if host.startswith("[") else host  # [::1]:8080 is a host too
    _, colon, port = after.partition(":")
    is_url = scheme.endswith("://") and not scheme.endswith(":///")
    # A password may hold a '/': what follows a colon and is not a port is a password, or its beginning.
    if "@" in plain and (colon or (is_url and "@" in host)):
        line = "…" + line[plain.rindex("@") :]
    elif is_url and colon and not _PORT.fullmatch(port):
        line = _WORD.sub("…", line, count=1)
    return _QUERY.sub(r"\1…", line) + newline + below

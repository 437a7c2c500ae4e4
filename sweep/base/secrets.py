"""What nobody is to read: the user, the password and the query of a URL, wherever a text holds one."""

import re

# With the backslashes that a command line may put before the signs, and with a slash too few or too many.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+\\*:\\*/[\\/]*")
_NEXT = re.compile(r"(.[\s,;'\"=(\[{|]|::)[A-Za-z][A-Za-z0-9+.-]+\\*:\\*/[\\/]+$")
_PORT = re.compile(r"\d*[^\w\s%]*(\s.*)?")  # and the signs that follow a URL in a sentence
_REST_OF_WORD = r"\S+?(?=['\"),:;}\]]*(?:\s|$))"
_WORD = re.compile(_REST_OF_WORD)
_QUERY = re.compile(rf"^([^\s?]*\?){_REST_OF_WORD}")
_INTERPOLATION = re.compile(r"\$\{[^{}@?]*\}")  # ${oc.env:NAME} is what the record keeps


def hidden(text: str) -> str:
    """The text with an ellipsis for the user, the password and the query of every URL in it."""
    shown, end, scheme = "", 0, ""
    for found in _SCHEME.finditer(text):
        within = scheme and "\n" not in text[end : found.start()]
        if within and not _NEXT.match(text, found.start() - 2, found.end()):
            continue  # it may be of a password
        shown += scheme + _without_secrets(scheme, text[end : found.start()])
        scheme, end = found[0], found.end()
    return shown + scheme + _without_secrets(scheme, text[end:])


def _without_secrets(scheme: str, rest: str) -> str:
    """What follows the scheme of a URL, to the end of the text or to the next URL, its secrets hidden."""
    if not scheme:
        return rest
    line, newline, below = rest.partition("\n")
    plain = _INTERPOLATION.sub(lambda found: "x" * len(found[0]), line)
    host = re.split("[/?]", plain, maxsplit=1)[0]
    _, colon, port = host.rpartition("]")[2].partition(":")  # [::1]:8080 is a host too
    is_url = scheme.endswith("://") and not scheme.endswith(":///")
    # A password may hold a '/': what follows a colon and is no port is one, or its beginning.
    if "@" in plain and (colon or (is_url and "@" in host)):
        line = "…" + line[plain.rindex("@") :]
    elif is_url and colon and not _PORT.fullmatch(port):
        line = _WORD.sub("…", line, count=1)
    return _QUERY.sub(r"\1…", line) + newline + below

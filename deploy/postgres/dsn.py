"""Decides how one URL of a Postgres server becomes that of another role or database on it."""

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

# Who logs in may stand in the query as well.
LOGIN = {"user", "password", "passfile"}


def with_login(url: str, role: str, password: str) -> str:
    """The same server and database, seen by another role; TLS and socket settings in the query stay, and nothing of
    whom the URL named."""
    split = urlsplit(url)
    place = split.netloc.rpartition("@")[2]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{place}"
    settings = [(name, value) for name, value in parse_qsl(split.query, True) if name not in LOGIN]
    return _unsplit(split.scheme, netloc, split.path, urlencode(settings, safe="/", quote_via=quote))


def with_database(url: str, database: str) -> str:
    split = urlsplit(url)
    return _unsplit(split.scheme, split.netloc, f"/{quote(database, safe='')}", split.query)


def with_named_database(url: str) -> str | None:
    """The URL with its database in its path, where another login finds it too: without one, each comes to a database of
    its own name. None where it names nobody either."""
    if database(url):
        return url
    split = urlsplit(url)
    said = dict(parse_qsl(split.query))
    name = said.get("dbname") or said.get("database") or unquote(split.username or "") or said.get("user")
    return with_database(url, name) if name else None


def database(url: str) -> str:
    return unquote(urlsplit(url).path.lstrip("/"))


def _unsplit(scheme: str, netloc: str, path: str, query: str) -> str:
    # An empty path would glue the query to the host.
    return urlunsplit((scheme, netloc, path or "/", query, ""))

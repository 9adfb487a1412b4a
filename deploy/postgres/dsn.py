"""Decides how one URL of a Postgres server becomes that of another role or database on it."""

from urllib.parse import quote, unquote, urlsplit, urlunsplit


def with_login(url: str, role: str, password: str) -> str:
    """The same server and database, seen by another role; TLS and socket settings in the query stay."""
    split = urlsplit(url)
    place = split.netloc.rpartition("@")[2]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{place}"
    return _unsplit(split.scheme, netloc, split.path, split.query)


def with_database(url: str, database: str) -> str:
    split = urlsplit(url)
    return _unsplit(split.scheme, split.netloc, f"/{quote(database, safe='')}", split.query)


def database(url: str) -> str:
    return unquote(urlsplit(url).path.lstrip("/"))


def _unsplit(scheme: str, netloc: str, path: str, query: str) -> str:
    # An empty path would glue the query to the host.
    return urlunsplit((scheme, netloc, path or "/", query, ""))

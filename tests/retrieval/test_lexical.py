from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.retrieval import lexical

PASSAGES = [
    (0, "csv.DictReader", "Create an object that maps the information in each row to a dict."),
    (1, "csv.writer", "Return a writer object responsible for converting the user's data into delimited strings."),
    (2, "os.path.getsize", "Return the size, in bytes, of path."),
    (3, "Café", "Un café noir; 東京 ist eine Stadt. HTTPServer and read_csv and base64."),
    (4, "logging", "Running the handlers of a logger. What is it that you would do?"),
]


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(lexical.SCHEMA)
        lexical.insert(connection, PASSAGES)
        yield connection


def rows(connection: sqlite3.Connection, query: str, count: int = 10) -> list[int]:
    return [row for row, _ in lexical.search(connection, query, count)]


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("csv.DictReader", 0),
        ("DictReader", 0),
        ("dictreader", 0),
        ("dict reader", 0),
        ("http server", 3),
        ("HTTPServer", 3),
        ("read_csv", 3),
        ("cafe", 3),
        ("cafe\u0301", 3),
        ("ＣＡＦÉ", 3),
        ("東京", 3),
        ("run a handler", 4),
        ("getsize of a path", 2),
    ],
)
def test_names_accents_and_inflections_are_found(connection: sqlite3.Connection, query: str, row: int) -> None:
    assert rows(connection, query)[0] == row


def test_scores_fall_and_the_count_is_kept(connection: sqlite3.Connection) -> None:
    scores = [score for _, score in lexical.search(connection, "return object size csv", 3)]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_function_words_are_left_out_unless_there_is_nothing_else(connection: sqlite3.Connection) -> None:
    assert lexical.match_expression("what is the size of a path") == '"size" OR "path"'
    assert rows(connection, "what is it")[0] == 4


@pytest.mark.parametrize("query", ["", " ", "?!", "\x00", '"', "***", "\ud800", "- - -"])
def test_a_query_without_a_word_finds_nothing(connection: sqlite3.Connection, query: str) -> None:
    assert rows(connection, query) == []


@pytest.mark.parametrize(
    "query",
    [
        'csv" OR title:"x',
        "csv NOT reader",
        "NEAR(csv reader, 2)",
        "title : csv",
        "{title text} : csv",
        "^csv*",
        "csv AND",
        "(csv",
        "csv\x00reader",
        "csv; DROP TABLE passages",
    ],
)
def test_syntax_of_the_full_text_engine_is_only_words(connection: sqlite3.Connection, query: str) -> None:
    assert 0 in rows(connection, query)


@given(st.text(st.characters(codec=None), max_size=200))
def test_no_query_is_an_error(query: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(lexical.SCHEMA)
        lexical.insert(connection, PASSAGES)
        rows(connection, query)


def test_a_very_long_question_is_answered(connection: sqlite3.Connection) -> None:
    query = "size bytes " + " ".join(f"word{number}" for number in range(5_000))
    assert rows(connection, query)[0] == 2


def test_mixed_case_names_fall_into_parts() -> None:
    assert lexical.name_parts("csv.DictReader and HTTPServer, plain Words; parseHTTP2Frames") == [
        *("Dict", "Reader"),
        *("HTTP", "Server"),
        *("parse", "HTTP", "Frames"),
    ]

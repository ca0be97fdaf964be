from __future__ import annotations

from pathlib import Path

import pytest

from service.corpus.csv_file import CsvFile
from service.domain import Document
from service.errors import InvalidInput


def written(folder: Path, content: str) -> CsvFile:
    path = folder / "facts.csv"
    path.write_text(content, newline="")
    return CsvFile(path)


def test_columns_map_to_fields_and_metadata(tmp_path: Path) -> None:
    source = written(tmp_path, 'id,text,title,year\r\n1,"Two\nlines, ""quoted""",Tides,1687\r\n\r\n2,Plain,,\r\n')
    assert list(source.documents()) == [
        Document("1", 'Two\nlines, "quoted"', "Tides", {"year": "1687"}),
        Document("2", "Plain"),
    ]


def test_a_field_may_be_longer_than_the_csv_modules_own_limit(tmp_path: Path) -> None:
    source = written(tmp_path, f"text\n{'word ' * 40_000}\n")
    assert len(next(source.documents()).text) == 200_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"facts\.csv: no column 'text' in the header: the file is empty"),
        ("id,body\n1,a\n", r"facts\.csv: no column 'text' in the header: id, body"),
        ("id,text\n1,a\n2\n", r"facts\.csv:3: 1 fields in a table of 2 columns"),
        ('id,text\n1,"a\n', r"facts\.csv:2: unexpected end of data"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        list(written(tmp_path, content).documents())

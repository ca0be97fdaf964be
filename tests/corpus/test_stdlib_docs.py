from __future__ import annotations

import subprocess
import sys
from functools import cache

from service.corpus.stdlib_docs import MAX_WORDS, StdlibDocs
from service.domain import Document


@cache
def corpus() -> dict[str, Document]:
    documents = list(StdlibDocs().documents())
    by_id = {document.id: document for document in documents}
    assert len(by_id) == len(documents)
    return by_id


def test_several_thousand_passages_of_every_kind() -> None:
    assert len(corpus()) > 5000
    kinds = {document.metadata["kind"] for document in corpus().values()}
    assert kinds == {"class", "data", "function", "method", "module", "property"}


def test_a_passage_is_a_name_a_signature_and_prose() -> None:
    passage = corpus()["textwrap.dedent"]
    assert passage.title == "textwrap.dedent"
    assert passage.text.startswith("textwrap.dedent(text)\n\nRemove any common leading whitespace")
    assert passage.metadata == {"kind": "function", "module": "textwrap"}


def test_names_are_those_that_programs_use() -> None:
    expected = {
        "asyncio.Semaphore", "bisect.insort_left", "collections.Counter.most_common", "json.JSONDecoder", "open",
        "os.getcwd", "os.path.join", "pathlib.PurePath.suffix", "random.choice", "secrets.choice", "socket.socket.recv",
        "str.split", "threading.Lock", "typing.Optional", "unittest.TestCase.assertRaises",
    }  # fmt: skip
    assert expected <= corpus().keys()
    unwanted = {
        "json.decoder.JSONDecoder",
        "posixpath.join",
        "builtins.str.split",
        "genericpath.exists",
        "posix.getcwd",
    }
    assert not unwanted & corpus().keys()


def test_an_inherited_docstring_is_told_once() -> None:
    assert "dict.setdefault" in corpus()
    assert "collections.OrderedDict.with_traceback" not in corpus()
    assert "logging.Handler.addFilter" in corpus()
    assert "logging.StreamHandler.addFilter" not in corpus()


def test_a_class_without_a_docstring_shows_its_signature_and_members() -> None:
    text = corpus()["csv.DictReader"].text
    assert text.startswith("csv.DictReader(f, fieldnames=None")
    assert text.endswith("Members: fieldnames")


def test_long_docstrings_go_on_under_the_same_title() -> None:
    assert corpus()["re#2"].title == "re"
    assert max(len(document.text.split()) for document in corpus().values()) < 2 * MAX_WORDS


def test_nothing_of_this_machine_or_process_is_in_a_passage() -> None:
    again = {document.id: document for document in StdlibDocs().documents()}
    assert again == corpus()
    assert not any(sys.prefix in document.text or " at 0x7" in document.text for document in again.values())


def test_the_process_that_asks_imports_nothing_of_it() -> None:
    program = (
        "import sys\n"
        "from service.corpus.stdlib_docs import StdlibDocs\n"
        "next(StdlibDocs().documents())\n"
        "print('turtle' in sys.modules, 'xmlrpc.client' in sys.modules)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert finished.stdout == "False False\n"

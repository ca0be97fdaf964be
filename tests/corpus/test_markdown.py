from __future__ import annotations

from service.corpus.markdown import Section, sections


def test_each_section_carries_the_headings_above_it() -> None:
    text = "intro\n# Guide\nstart\n## Install ##\n### Linux\napt\n## Use\nrun\n# Other\nend\n"
    assert list(sections(text)) == [
        Section("", "intro"),
        Section("Guide", "start"),
        Section("Guide > Install > Linux", "apt"),
        Section("Guide > Use", "run"),
        Section("Other", "end"),
    ]


def test_a_comment_in_fenced_code_is_no_heading() -> None:
    text = "# Run\n````sh\n# not a heading\n```\n# nor this\n````\n# Next\nmore"
    assert [section.title for section in sections(text)] == ["Run", "Next"]


def test_a_hash_without_a_space_is_no_heading() -> None:
    assert list(sections("#hashtag")) == [Section("", "#hashtag")]

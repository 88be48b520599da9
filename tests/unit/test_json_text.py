from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tryon_masks.entrypoints.commands.json_text import replace_text, with_member

BLOCK = {"Status": "success", "Upper mask URL": "https://m/u.png", "Lower mask URL": None}

PRETTY = """{
  "userImageUrl": "https://example.com/a.jpg",
  "price": 1.10,
  "Mask": {"Status": "", "nested": {"}": "]"}},
  "escaped": "\\u00e4 \\" }"
}
"""


def test_a_member_keeps_its_place_and_the_rest_every_character() -> None:
    before, _, rest = PRETTY.partition('{"Status": "", "nested": {"}": "]"}}')

    text = with_member(PRETTY, "Mask", BLOCK)

    assert text.startswith(before)
    assert text.endswith(rest)
    assert json.loads(text)["Mask"] == BLOCK


def test_a_new_member_is_written_like_the_others() -> None:
    text = with_member('{\n    "a": 1,\n    "b": 2\n}\n', "Mask", {"x": "y"})

    assert text == '{\n    "a": 1,\n    "b": 2,\n    "Mask": {\n        "x": "y"\n    }\n}\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1}', '{"a":1,"Mask":{"x":"y","z":null}}'),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2, "Mask": {"x": "y", "z": null}}'),
        ('{"Mask": 1, "a": 2}', '{"Mask": {"x": "y", "z": null}, "a": 2}'),
        (
            '\ufeff{\r\n\t"a": 1\r\n}',
            '\ufeff{\r\n\t"a": 1,\r\n\t"Mask": {\r\n\t\t"x": "y",\r\n\t\t"z": null\r\n\t}\r\n}',
        ),
    ],
)
def test_the_style_is_kept(text: str, expected: str) -> None:
    assert with_member(text, "Mask", {"x": "y", "z": None}) == expected


def test_of_a_name_given_twice_the_last_counts_as_for_every_reader() -> None:
    text = with_member('{"Mask": 1, "Mask": 2}', "Mask", 3)

    assert text == '{"Mask": 1, "Mask": 3}'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.text(), VALUES, min_size=1, max_size=5),
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
)
def test_any_document_differs_in_that_member_only(
    document: dict[str, object], indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)

    changed = json.loads(with_member(text, "Mask", BLOCK))

    assert list(changed.items()) == list({**document, "Mask": BLOCK}.items())


def test_a_file_is_replaced_with_its_permissions_and_through_links(tmp_path: Path) -> None:
    path, link = tmp_path / "data.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)

    replace_text(link, "new ä")

    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "new ä"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert {file.name for file in tmp_path.iterdir()} == {"data.json", "link.json"}


def test_a_failed_replacement_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "data.json"

    with pytest.raises(OSError, match="No such file"):
        replace_text(path, "new")

    assert list(tmp_path.iterdir()) == []

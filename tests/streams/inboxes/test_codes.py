"""The page for publishers names every code that a receipt can have, and no other."""

import re

from tests.code import ROOT, sources

PAGE = ROOT / "docs" / "publishing.md"
CODE = re.compile(r'(?:refused\(\s*|Unfit\(\s*"[a-z]+",\s*|"code": )"([a-z]+(?:-[a-z]+)*)"')
ROW = re.compile(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", re.MULTILINE)


def test_the_table_of_codes_is_whole() -> None:
    files = [ROOT / "infra/documents.py", *sources("streams/inboxes", "streams/documents")]
    used = {code for file in files for code in CODE.findall(file.read_text())} | {"internal-error", "invalid"}
    told = {
        code for row in ROW.findall(PAGE.read_text().partition("### Codes")[2]) for code in re.findall(r"[a-z-]+", row)
    }
    assert used == told

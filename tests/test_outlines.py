"""An outline names what a source file declares, with its lines, and no source makes it fail or wait."""

from itertools import product

import pytest

from agent.files.outlines import MAX_ENTRIES, language, outline


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        (
            "a.py",
            "import x\n\n\n@x\nasync def f(\n    a):\n    pass\n\n\nclass A:\n    def g(self): ...\n",
            ["5-7: async def f(", "10-11: class A:", "11-11:     def g(self): ..."],
        ),
        ("a.py", "def f(:\nclass A: 1\n", ["does not parse: line 1: invalid syntax", "1: def f(:", "2: class A: 1"]),
        (
            "a.js",
            "export default async function f() {\n  if (x) {}\n}\nconst g = (a) => a\nconst n = 1\nclass A {}\n",
            ["1: export default async function f() {", "4: const g = (a) => a", "6: class A {}"],
        ),
        ("a.ts", "export interface A {\n}\nenum B {}\n", ["1: export interface A {", "3: enum B {}"]),
        (
            "a.html",
            "<title>T</title>\n<p>text\n  <h1 id=a>A</h1>\n<script>\nfunction f() {}\n</script>\n",
            ["1: <title>T</title>", "3:   <h1 id=a>A</h1>", "4: <script>", "5: function f() {}"],
        ),
        ("a.css", "body {\n  color: red;\n}\n@media print {\n", ["1: body {", "4: @media print {"]),
        ("a.md", "# A\n#b\ntext\n### C\n", ["1: # A", "4: ### C"]),
        ("a.sh", "set -e\nbuild() {\n", ["2: build() {"]),
        ("a.sql", "select 1;\ncreate table t (\n", ["2: create table t ("]),
        ("a.c", "int main(void) {\n  if (x) {\n  f(x);\n}\nstruct s {\n", ["1: int main(void) {", "5: struct s {"]),
        ("A.java", "public class A {\n  int f(int a) {\n", ["1: public class A {", "2:   int f(int a) {"]),
        ("a.go", "func f() {\n  return\n}\ntype T struct {\n", ["1: func f() {", "4: type T struct {"]),
    ],
)  # fmt: skip
def test_an_outline_names_what_is_declared_and_where(name: str, text: str, lines: list[str]) -> None:
    assert outline(name, text) == lines
    assert language(name)


def test_what_is_no_source_has_no_outline() -> None:
    assert [language(name) for name in ("a.txt", "a", "a.csv", "")] == [None] * 4


HOSTILE = (
    "(" * 90_000, "-" * 90_000 + "1", "not " * 20_000 + "1", "a" + ".b" * 40_000, "lambda:" * 10_000 + "1", "a\0b",
    "x = '\\d'", 'f"' + "{a}" * 5_000 + '"', "".join(" " * n + "if x:\n" for n in range(99)), "def f(): pass\n" * 5_000,
    (" " * 499 + "\n") * 2_000, ("a*" * 249 + "\n") * 2_000, ("const a = (" + "a," * 240 + "\n") * 500,
)  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [*product(("a.py", "a.js", "a.css", "a.c"), HOSTILE)])
def test_no_source_makes_an_outline_fail_or_grow(name: str, text: str) -> None:
    assert len(outline(name, text)) <= MAX_ENTRIES + 1

#!/usr/bin/env python3
"""Tests of module_graph.py on made-up crates."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import module_graph


class Made(unittest.TestCase):
    """A workspace of one crate `made` in a temporary folder."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("Cargo.toml", '[workspace]\nmembers = ["made"]\n')
        self.write("made/Cargo.toml", '[package]\nname = "made"\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def sources(self, **files):
        """Writes modules: `a__b` is `a/b.rs`."""
        for name, text in files.items():
            self.write(f"made/src/{name.replace('__', '/')}.rs", text)

    def run_main(self, *arguments):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = module_graph.main(list(arguments), self.root)
        return status, printed.getvalue()

    def assert_no_circle(self, *arguments):
        self.assertEqual(self.run_main(*arguments), (0, ""))

    def test_a_circle_is_named_with_its_lines(self):
        self.sources(lib="mod a;\nmod b;\nmod c;\n", a="\nuse crate::b::B;\n", c="use crate::a::A;\n")
        self.sources(b="fn f() {\n    crate::c::g();\n}\n")
        expected = (
            "made: a, b, c need each other in a circle\n"
            "  a needs b: made/src/a.rs:2\n"
            "  b needs c: made/src/b.rs:2\n"
            "  c needs a: made/src/c.rs:1\n"
        )
        self.assertEqual(self.run_main(), (1, expected))

    def test_modules_of_a_folder_are_compared_too(self):
        self.sources(lib="mod cli;", cli__mod="mod certify;\nmod model;")
        self.sources(cli__certify="use super::{model::Model};", cli__model="use super::certify::file_name;")
        status, printed = self.run_main()
        self.assertEqual(status, 1)
        self.assertIn("made::cli: certify, model need each other", printed)
        self.assertIn("  certify needs model: made/src/cli/certify.rs:1\n", printed)

    def test_a_folder_may_have_a_file_of_its_name_beside_it(self):
        self.sources(lib="mod cli;", cli="mod a;\nmod b;", cli__a="use super::b::X;", cli__b="use crate::cli::a::Y;")
        self.assertEqual(self.run_main()[0], 1)

    def test_a_name_that_is_re_exported_is_its_own_modules(self):
        self.sources(lib="pub mod e;", e__mod="mod read;\nmod write;\npub use read::Read;\npub use write::{Write as W};")
        self.sources(e__read="use super::W;\npub struct Read;", e__write="pub struct Write;")
        self.assert_no_circle()
        self.sources(e__write="use crate::e::Read;\npub struct Write;")
        self.assertIn("  read needs write: made/src/e/read.rs:1\n  write needs read: made/src/e/write.rs:1", self.run_main()[1])

    def test_names_are_followed_through_globs(self):
        self.sources(lib="mod a;\nmod b;\npub use b::*;", a="use crate::B;\npub struct A;", b="use crate::a::A;\npub struct B;")
        self.assertEqual(self.run_main()[0], 1)

    def test_a_parent_and_what_is_below_it_are_counted_when_asked_for(self):
        self.sources(lib="mod a;", a__mod="mod b;\nstruct Own;\nfn f() { b::g() }", a__b="use super::Own;")
        self.assert_no_circle()
        status, printed = self.run_main("--parents")
        self.assertEqual(status, 1)
        self.assertIn("  b needs mod: made/src/a/b.rs:1\n  mod needs b: made/src/a/mod.rs:3\n", printed)

    def test_a_parent_that_only_re_exports_needs_nothing(self):
        self.sources(lib="mod a;", a__mod="mod b;\npub use b::B;\npub(crate) use b::C;\nstruct Own;", a__b="use super::Own;")
        self.assert_no_circle("--parents")

    def test_tests_comments_and_strings_are_no_code(self):
        self.sources(lib="mod a;\nmod b;\n#[cfg(test)]\nmod testing;", b="use crate::a::A;", testing="use crate::a::X;")
        self.sources(
            a="// use crate::b::B;\n/* use crate::b::B; */\n//! [`B`](crate::b::B)\n"
            "const S: &str = \"use crate::b::B; {\";\nconst R: &str = r#\"crate::b::B \"{\"#;\nconst C: char = '{';\n"
            "#[cfg(test)]\nuse crate::b::B;\n"
            "#[cfg(all(test, unix))]\n#[allow(unused)]\nmod tests {\n    use crate::b::B;\n    fn f() { crate::b::g() }\n}\n"
            "#[cfg(test)]\nmod more;\n",
            a__more="use crate::b::B;",
        )
        self.assert_no_circle()
        self.sources(b="use crate::a::A;\n", a="#[cfg(not(test))]\nuse crate::b::B;")
        self.assertEqual(self.run_main()[0], 1)

    def test_other_crates_are_none_of_it(self):
        self.sources(lib="mod a;\nmod b;", a="use b::X;\nuse anyhow::anyhow;\nanyhow::bail!()", b="use a::Y;\nuse std::a::Y;")
        self.assert_no_circle()

    def test_the_graph_is_drawn_without_arrows_that_follow_from_others(self):
        self.sources(lib="mod a;\nmod b;\nmod c;\nmod d;", a="use crate::{b::B, c::C};", b="use crate::c::C;", c="", d="")
        _, drawn = self.run_main("--draw")
        self.assertIn("```mermaid\ngraph TD\n  a --> b\n  b --> c\n  d\n```", drawn)

    def test_a_document_is_compared_with_what_is_drawn(self):
        self.sources(lib="mod a;\nmod b;", a="use crate::b::B;", b="")
        document = self.root / "architecture.md"
        self.assertEqual(self.run_main("--check", str(document))[0], 0)
        document.write_text("# Architecture\n")
        self.assertEqual(self.run_main("--check", str(document))[0], 0)
        document.write_text(f"# Architecture\n\n{self.run_main('--draw')[1]}\nMore.\n")
        self.assertEqual(self.run_main("--check", str(document))[0], 0)
        self.sources(a="", b="use crate::a::A;")
        status, printed = self.run_main("--check", str(document))
        self.assertEqual(status, 1)
        self.assertIn("its module graphs are not those of the code", printed)


if __name__ == "__main__":
    unittest.main()

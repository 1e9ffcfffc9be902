//! What a Rust file is made of, as far as the rules ask: tokens, attributes, paths, and which lines are tests.
//!
//! A path counts however it is written: `use std::{fs, io}` imports `std::fs` and `std::io`.

use std::ops::RangeInclusive;

use super::lex::{Kind, Lexed, Token, lex};

/// The code of a Rust file.
pub(crate) struct Code {
    pub(crate) lexed: Lexed,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) paths: Vec<PathRef>,
    pub(crate) test_modules: Vec<String>,
    pub(crate) all_test: bool,
    test_lines: Vec<RangeInclusive<usize>>,
}

/// An attribute: the tokens between its brackets.
pub(crate) struct Attribute {
    pub(crate) line: usize,
    pub(crate) first: usize,
    pub(crate) end: usize,
    inner: bool,
}

/// A path as it is written or imported: `use std::{fs, io}` is `std::fs` and `std::io`.
pub(crate) struct PathRef {
    pub(crate) line: usize,
    pub(crate) path: String,
    pub(crate) imported: bool,
    /// Index of its first token and of the one after its last.
    pub(crate) first: usize,
    pub(crate) end: usize,
}

impl Code {
    pub(crate) fn new(text: &str) -> Code {
        let lexed = lex(text);
        let attributes = attributes(&lexed.tokens);
        let paths = paths(&lexed.tokens);
        let mut code = Code {
            lexed,
            attributes,
            paths,
            test_lines: Vec::new(),
            test_modules: Vec::new(),
            all_test: false,
        };
        code.find_tests();
        code
    }

    /// The token at an index, if there is one.
    pub(crate) fn token(&self, index: usize) -> Option<&Token> {
        self.lexed.tokens.get(index)
    }

    /// The tokens of an attribute.
    pub(crate) fn attribute(&self, attribute: &Attribute) -> &[Token] {
        &self.lexed.tokens[attribute.first..attribute.end]
    }

    /// The comment on a line and the comment block that ends on the line before it.
    pub(crate) fn comment_at(&self, line: usize) -> String {
        let comments = &self.lexed.comments;
        let mut block: Vec<&str> = comments.get(&line).map(String::as_str).into_iter().collect();
        let mut above = line;
        while above > 1 {
            above -= 1;
            let Some(comment) = comments.get(&above) else {
                break;
            };
            if self.lexed.tokens.iter().any(|t| t.line == above) {
                break;
            }
            block.push(comment);
        }
        block.reverse();
        block.join("\n")
    }

    /// Whether a line only runs in tests, by `#[cfg(test)]`.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.all_test || self.test_lines.iter().any(|range| range.contains(&line))
    }

    fn find_tests(&mut self) {
        for attribute in &self.attributes {
            let words: Vec<&str> = self.attribute(attribute).iter().filter_map(Token::ident).collect();
            if words.first() != Some(&"cfg") || !words.contains(&"test") || words.contains(&"not") {
                continue;
            }
            if attribute.inner {
                self.all_test = true;
                continue;
            }
            let (body, end) = self.item_after(attribute.end + 1);
            let last = self.token(end).or(self.lexed.tokens.last());
            let last = last.map_or(attribute.line, |token| token.line);
            self.test_lines.push(attribute.line..=last);
            let item = &self.lexed.tokens[body..end];
            if let [.., keyword, name] = item
                && keyword.ident() == Some("mod")
                && let Some(name) = name.ident()
            {
                self.test_modules.push(name.to_owned());
            }
        }
    }

    /// Where the item that starts at `at` begins after its attributes, and the index of its `;` or last `}`.
    fn item_after(&self, mut at: usize) -> (usize, usize) {
        while let Some(next) = self.attributes.iter().find(|a| a.first == at + 2) {
            at = next.end + 1;
        }
        let body = at;
        let mut depth = 0_usize;
        while let Some(token) = self.token(at) {
            match token.kind {
                Kind::Punct(';') if depth == 0 => return (body, at),
                Kind::Punct('{' | '(' | '[') => depth += 1,
                Kind::Punct('}' | ')' | ']') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && token.is_punct('}') {
                        return (body, at);
                    }
                }
                Kind::Ident(_) | Kind::Number(_) | Kind::Text(_) | Kind::PathSep | Kind::Punct(_) => {}
            }
            at += 1;
        }
        (body, at)
    }
}

fn attributes(tokens: &[Token]) -> Vec<Attribute> {
    let mut found = Vec::new();
    for (at, hash) in tokens.iter().enumerate().filter(|(_, t)| t.is_punct('#')) {
        let inner = tokens.get(at + 1).is_some_and(|t| t.is_punct('!'));
        let open = at + 1 + usize::from(inner);
        if !tokens.get(open).is_some_and(|t| t.is_punct('[')) {
            continue;
        }
        let mut depth = 0_usize;
        for (end, token) in tokens.iter().enumerate().skip(open) {
            if token.is_punct('[') {
                depth += 1;
            } else if token.is_punct(']') {
                depth -= 1;
            }
            if depth == 0 {
                found.push(Attribute {
                    line: hash.line,
                    first: open + 1,
                    end,
                    inner,
                });
                break;
            }
        }
    }
    found
}

fn paths(tokens: &[Token]) -> Vec<PathRef> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = match tokens[at].ident() {
            Some("use") => use_tree(tokens, at + 1, "", &mut found).max(at + 1),
            Some(_) => written_path(tokens, at, &mut found),
            None => at + 1,
        };
    }
    found
}

fn written_path(tokens: &[Token], first: usize, found: &mut Vec<PathRef>) -> usize {
    let mut at = first;
    let mut path = String::new();
    while let Some(word) = tokens.get(at).and_then(Token::ident) {
        path.push_str(word);
        at += 1;
        let more = tokens.get(at).is_some_and(|t| t.kind == Kind::PathSep)
            && tokens.get(at + 1).is_some_and(|t| t.ident().is_some());
        if !more {
            break;
        }
        path.push_str("::");
        at += 1;
    }
    found.push(PathRef {
        line: tokens[first].line,
        path,
        imported: false,
        first,
        end: at,
    });
    at
}

/// Reads one branch of a `use` tree and returns the index of what ends it (`,`, `}`, `;` or a stranger).
fn use_tree(tokens: &[Token], first: usize, prefix: &str, found: &mut Vec<PathRef>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = first;
    while let Some(token) = tokens.get(at) {
        match &token.kind {
            // The new name says nothing; what is imported does.
            Kind::Ident(word) if word == "as" => at += 1,
            Kind::Ident(word) => path.push_str(word),
            Kind::PathSep if path.is_empty() => {}
            Kind::PathSep => path.push_str("::"),
            Kind::Punct('*') => path.push('*'),
            Kind::Punct('{') => {
                loop {
                    at = use_tree(tokens, at + 1, &path, found);
                    if !tokens.get(at).is_some_and(|t| t.is_punct(',')) {
                        break;
                    }
                }
                return at + 1;
            }
            Kind::Number(_) | Kind::Text(_) | Kind::Punct(_) => break,
        }
        at += 1;
    }
    let path = path.trim_end_matches("::self").to_owned();
    if !path.is_empty() && !path.ends_with("::") {
        found.push(PathRef {
            line: tokens[first.min(tokens.len() - 1)].line,
            path,
            imported: true,
            first,
            end: at,
        });
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(source: &str) -> Vec<String> {
        let paths = Code::new(source).paths.into_iter();
        paths.filter(|p| p.imported).map(|p| p.path).collect()
    }

    #[test]
    fn imports_are_read_through_groups_and_renames() {
        let source = "use std::{fs::{self, File as F}, io::*, net}; pub use ::a::b as c;";
        let expected = ["std::fs", "std::fs::File", "std::io::*", "std::net", "a::b"];
        assert_eq!(imported(source), expected);
    }

    #[test]
    fn a_group_over_several_lines_gives_each_import_its_line() {
        let code = Code::new("use std::{\n    fs,\n    net,\n};\n");
        let lines: Vec<_> = code.paths.iter().map(|p| (p.line, &*p.path)).collect();
        assert_eq!(lines, [(2, "std::fs"), (3, "std::net")]);
    }

    #[test]
    fn written_paths_stop_at_what_is_not_a_path() {
        let code = Code::new("let x = std::fs::read::<P>(a.now()) + impl use<'a> Sized;");
        let paths: Vec<_> = code.paths.iter().map(|p| &*p.path).collect();
        let expected = ["let", "x", "std::fs::read", "P", "a", "now", "impl", "Sized"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn cfg_test_covers_its_item_and_no_more() {
        let source = "fn a() {}\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n\
                      #[cfg(not(test))]\nfn d() {}\n#[cfg(any(test, feature = \"x\"))]\nuse e;\nfn f() {}";
        let code = Code::new(source);
        let test: Vec<usize> = (1..=12).filter(|&line| code.is_test(line)).collect();
        assert_eq!(test, [2, 3, 4, 5, 6, 10, 11]);
    }

    #[test]
    fn a_test_module_elsewhere_is_named() {
        let code = Code::new("#[cfg(test)]\npub(crate) mod model;\nmod other;\n");
        assert_eq!(code.test_modules, ["model"]);
        assert!(Code::new("#![cfg(test)]\nfn a() {}").is_test(2));
    }

    #[test]
    fn a_comment_block_belongs_to_the_line_below_it() {
        let code = Code::new("fn a() {}\n// one\n// two\nb(); // three\nc();\n");
        assert_eq!(code.comment_at(4), "// one\n// two\n// three");
        assert_eq!(code.comment_at(5), "");
    }
}

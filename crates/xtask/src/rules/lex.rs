//! Reads Rust just well enough to judge it.
//!
//! The rules must not mistake a word in a comment or in a text for code, nor be fooled by how `use` is
//! written, so they look at tokens and not at lines. A full parser would cost more compile time than all of
//! this crate; these hundred and fifty lines know comments, texts, characters, lifetimes and numbers, which
//! is all that is needed to find the words.

use std::collections::BTreeMap;

/// What a token is. A text carries what it says, escapes mostly left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Ident(String),
    Number(String),
    Text(String),
    PathSep,
    Punct(char),
}

/// A token and the line it starts on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

impl Token {
    pub(crate) fn ident(&self) -> Option<&str> {
        if let Kind::Ident(word) = &self.kind {
            Some(word)
        } else {
            None
        }
    }

    pub(crate) fn is_punct(&self, c: char) -> bool {
        self.kind == Kind::Punct(c)
    }
}

/// A file's tokens, and its comments by line (the markers included).
#[derive(Debug, Default)]
pub(crate) struct Lexed {
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: BTreeMap<usize, String>,
}

/// Splits a source into tokens. Never fails: what is not Rust becomes punctuation, and rustc says the rest.
pub(crate) fn lex(source: &str) -> Lexed {
    let mut cursor = Cursor {
        chars: source.chars().collect(),
        at: 0,
        line: 1,
    };
    let mut lexed = Lexed::default();
    while let Some(c) = cursor.peek(0) {
        let line = cursor.line;
        let next = cursor.peek(1);
        let kind = match c {
            _ if c.is_whitespace() => {
                cursor.bump();
                continue;
            }
            '/' if next == Some('/') => {
                let comment = cursor.take_while(|c| c != '\n');
                lexed.comments.entry(line).or_default().push_str(&comment);
                continue;
            }
            '/' if next == Some('*') => {
                cursor.block_comment(&mut lexed.comments);
                continue;
            }
            '"' => Some(Kind::Text(cursor.text())),
            '\'' => cursor.char_or_lifetime(),
            '0'..='9' => Some(Kind::Number(cursor.number())),
            ':' if next == Some(':') => {
                cursor.skip(2);
                Some(Kind::PathSep)
            }
            _ if is_word(c) => Some(cursor.word()),
            _ => {
                cursor.bump();
                Some(Kind::Punct(c))
            }
        };
        if let Some(kind) = kind {
            lexed.tokens.push(Token { line, kind });
        }
    }
    lexed
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Cursor {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Cursor {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.bump();
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.peek(0).filter(|&c| keep(c)) {
            taken.push(c);
            self.bump();
        }
        taken
    }

    /// Block comments nest; each of their lines is remembered as a line of comment.
    fn block_comment(&mut self, comments: &mut BTreeMap<usize, String>) {
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('*')) => {
                    depth += 1;
                    self.skip(2);
                }
                ('*', Some('/')) => {
                    depth -= 1;
                    self.skip(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => {
                    comments.entry(self.line).or_default().push(c);
                    self.bump();
                }
            }
        }
    }

    /// A text between quotes. A backslash before a line's end joins the lines, as rustc does.
    fn text(&mut self) -> String {
        let mut text = String::new();
        self.bump();
        while let Some(c) = self.bump() {
            match c {
                '"' => break,
                '\\' => match self.bump() {
                    Some('\n') => {
                        self.take_while(char::is_whitespace);
                    }
                    Some('n' | 't' | 'r') => text.push(' '),
                    Some(escaped) => text.push(escaped),
                    None => break,
                },
                _ => text.push(c),
            }
        }
        text
    }

    /// A raw text whose hashes have been counted; the cursor stands on its first quote.
    fn raw_text(&mut self, hashes: usize) -> String {
        let mut text = String::new();
        self.bump();
        while let Some(c) = self.bump() {
            if c == '"' && (0..hashes).all(|i| self.peek(i) == Some('#')) {
                self.skip(hashes);
                break;
            }
            text.push(c);
        }
        text
    }

    /// `'a'` and `'\n'` are characters and say nothing to any rule; `'a` is a lifetime and says no more.
    fn char_or_lifetime(&mut self) -> Option<Kind> {
        self.bump();
        if self.peek(0) == Some('\\') {
            self.skip(2);
            self.take_while(|c| c != '\'');
            self.bump();
        } else if self.peek(1) == Some('\'') {
            self.skip(2);
        } else {
            self.take_while(is_word);
        }
        None
    }

    /// Digits, suffix included (`1_000u64`); a dot belongs to it only before another digit (`0..9`, `1.max(2)`).
    fn number(&mut self) -> String {
        let mut number = self.take_while(is_word);
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
            number.push('.');
            number.push_str(&self.take_while(is_word));
        }
        number
    }

    /// A word, or a text with a prefix: `r"…"`, `r#"…"#`, `b"…"`, `c"…"`, `b'…'`, and the raw word `r#type`.
    fn word(&mut self) -> Kind {
        let word = self.take_while(is_word);
        match (word.as_str(), self.peek(0)) {
            ("b" | "c", Some('"')) => Kind::Text(self.text()),
            ("b", Some('\'')) => {
                self.char_or_lifetime();
                Kind::Text(String::new())
            }
            ("r" | "br" | "cr", Some('"' | '#')) => {
                let hashes = (0..).take_while(|&i| self.peek(i) == Some('#')).count();
                if self.peek(hashes) == Some('"') {
                    self.skip(hashes);
                    Kind::Text(self.raw_text(hashes))
                } else {
                    self.skip(hashes);
                    Kind::Ident(self.take_while(is_word))
                }
            }
            _ => Kind::Ident(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let idents = lex(source).tokens.into_iter();
        idents.filter_map(|t| t.ident().map(String::from)).collect()
    }

    fn texts(source: &str) -> Vec<String> {
        let tokens = lex(source).tokens.into_iter();
        tokens
            .filter_map(|t| match t.kind {
                Kind::Text(text) => Some(text),
                Kind::Ident(_) | Kind::Number(_) | Kind::PathSep | Kind::Punct(_) => None,
            })
            .collect()
    }

    #[test]
    fn words_in_comments_and_texts_are_not_code() {
        let source = "// todo!\n/* f64 /* nested */ still */ let a = \"f64 \\\" f32\"; // f32\nb";
        assert_eq!(words(source), ["let", "a", "b"]);
        assert_eq!(texts(source), ["f64 \" f32"]);
    }

    #[test]
    fn raw_and_prefixed_texts_end_where_they_end() {
        let source = r####"a(r#"one "two" three"#, b"four", br"five", r#type, b'"', c"six") b"####;
        assert_eq!(texts(source), ["one \"two\" three", "four", "five", "", "six"]);
        assert_eq!(words(source), ["a", "type", "b"]);
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        let source = "fn f<'a>(x: &'a str) { let q = '\"'; let n = '\\''; let u = '\\u{1F600}'; g('b') }";
        assert_eq!(
            words(source),
            ["fn", "f", "x", "str", "let", "q", "let", "n", "let", "u", "g"]
        );
        assert_eq!(texts(source), Vec::<String>::new());
    }

    #[test]
    fn numbers_keep_their_suffix_and_leave_ranges_and_methods_alone() {
        let numbers: Vec<_> = lex("0..10 1.5f64 1.max(2) 0xFF_u8 x.0.1")
            .tokens
            .into_iter()
            .filter(|t| matches!(t.kind, Kind::Number(_)))
            .map(|t| t.kind)
            .collect();
        let expected = ["0", "10", "1.5f64", "1", "2", "0xFF_u8", "0.1"];
        assert_eq!(numbers, expected.map(|n| Kind::Number(n.to_owned())).to_vec());
    }

    #[test]
    fn lines_are_counted_through_texts_and_comments() {
        let lexed = lex("/* a\n b */\n\"x\ny\" z\n// last");
        let z = lexed.tokens.iter().find(|t| t.ident() == Some("z")).unwrap();
        assert_eq!(z.line, 4);
        assert_eq!(lexed.comments.keys().copied().collect::<Vec<_>>(), [1, 2, 5]);
    }

    #[test]
    fn a_joined_text_is_read_as_one_line() {
        assert_eq!(texts("\"SELECT a \\\n        FROM b\\n\""), ["SELECT a FROM b "]);
    }
}

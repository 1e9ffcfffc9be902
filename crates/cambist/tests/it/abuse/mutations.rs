//! Sound bodies made unsound, in every way that their schema lets one think of, one flaw at a time.

use serde_json::{Map, Value, json};

use super::document::{Body, Schema};

/// Stands in a document where something else is put in, which JSON, or this library, could not hold.
const HERE: &str = "\u{2603}";
/// More levels than any stack has room for, if each took a frame; in less than a body may have.
const DEEP: usize = 7_000;

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is no JSON.
    Malformed,
    /// It is JSON that is not what is wanted.
    Unfit,
    /// It may count as either: it is nested too deeply, or holds what is no character.
    Doubtful,
}

/// A body that must not be accepted.
pub(super) struct Mutation {
    pub(super) what: String,
    pub(super) text: Vec<u8>,
    pub(super) flaw: Flaw,
}

/// Every mutation of a body.
pub(super) fn mutations(body: &Body) -> Vec<Mutation> {
    let mut all = Mutations {
        whole: body.example.clone(),
        found: Vec::new(),
    };
    all.of_the_whole(body);
    all.of_value("", &body.schema);
    all.found
}

struct Mutations {
    whole: Value,
    found: Vec<Mutation>,
}

impl Mutations {
    fn add(&mut self, what: String, text: impl Into<Vec<u8>>, flaw: Flaw) {
        let text = text.into();
        self.found.push(Mutation { what, text, flaw });
    }

    /// The document with `raw` at `pointer`.
    fn put(&mut self, pointer: &str, raw: &[u8], flaw: Flaw) {
        let mut document = self.whole.clone();
        *document.pointer_mut(pointer).expect("a place in the example") = json!(HERE);
        let text = document.to_string();
        let (before, after) = text.split_once(&format!("\"{HERE}\"")).unwrap();
        let bytes = [before.as_bytes(), raw, after.as_bytes()].concat();
        let shown: String = String::from_utf8_lossy(raw).chars().take(40).collect();
        self.add(format!("{pointer} = {shown}"), bytes, flaw);
    }

    fn of_the_whole(&mut self, body: &Body) {
        let text = self.whole.to_string();
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let malformed: [(&str, Vec<u8>); 9] = [
            ("white space", b" \r\n\t ".to_vec()),
            ("half of it", text.as_bytes()[..text.len() - 1].to_vec()),
            ("twice", [text.as_bytes(), text.as_bytes()].concat()),
            ("with something after it", [text.as_bytes(), b" x"].concat()),
            ("with a zero byte after it", [text.as_bytes(), b"\0"].concat()),
            ("with a byte order mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
            ("in UTF-16", utf16),
            ("with a comment", [b"/**/", text.as_bytes()].concat()),
            ("as a form", b"fiat_amount=30&asset=BTC".to_vec()),
        ];
        for (what, text) in malformed {
            self.add(what.to_owned(), text, Flaw::Malformed);
        }
        if body.required {
            self.add("nothing".to_owned(), "", Flaw::Malformed);
        }
        let (open, close) = ("[".repeat(DEEP), "]".repeat(DEEP));
        self.add("arrays without end".to_owned(), open.as_bytes(), Flaw::Malformed);
        self.add("a deep array".to_owned(), open + &close, Flaw::Doubtful);
        let objects = format!("{}1{}", "{\"a\":".repeat(DEEP / 3), "}".repeat(DEEP / 3));
        self.add("deep objects".to_owned(), objects, Flaw::Doubtful);
    }

    fn of_value(&mut self, pointer: &str, schema: &Schema) {
        let here = self.whole.pointer(pointer).expect("a place in the example").clone();
        self.of_type(pointer, schema);
        self.of_number(pointer, schema);
        self.of_text(pointer, schema);
        match here {
            Value::Object(fields) => self.of_fields(pointer, schema, &fields),
            Value::Array(items) if !items.is_empty() => {
                if let Some(items) = schema.items() {
                    self.of_value(&format!("{pointer}/0"), &items);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
    }

    fn of_fields(&mut self, pointer: &str, schema: &Schema, fields: &Map<String, Value>) {
        let deep = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
        let surprise = |value: &str| {
            let object = Value::Object(fields.clone()).to_string();
            let comma = if fields.is_empty() { "" } else { ", " };
            format!("{{\"surprise\": {value}{comma}{}", &object[1..])
        };
        self.put(pointer, surprise("1").as_bytes(), Flaw::Unfit);
        self.put(pointer, surprise(&deep).as_bytes(), Flaw::Doubtful);
        self.put(pointer, b"{\"\xff\": 1}", Flaw::Malformed);
        for (name, field, required) in schema.fields(fields) {
            let at = format!("{pointer}/{name}");
            let Some(value) = fields.get(&name) else {
                // It may be left out, and was: whatever stands there must fit all the same.
                let whole = self.whole.clone();
                let object = self.whole.pointer_mut(pointer).and_then(Value::as_object_mut);
                object.unwrap().insert(name, Value::Null);
                self.of_type(&at, &field);
                self.of_number(&at, &field);
                self.of_text(&at, &field);
                self.whole = whole;
                continue;
            };
            let twice = format!("{value}, \"{name}\": {value}");
            self.put(&at, twice.as_bytes(), Flaw::Unfit);
            self.put(&at, deep.as_bytes(), Flaw::Doubtful);
            if required {
                let mut without = fields.clone();
                without.remove(&name);
                self.put(pointer, Value::Object(without).to_string().as_bytes(), Flaw::Unfit);
            }
            self.of_value(&at, &field);
        }
    }

    /// Values of each type that does not belong here.
    fn of_type(&mut self, pointer: &str, schema: &Schema) {
        let types = schema.types();
        let values = [
            ("null", "null"),
            ("boolean", "true"),
            ("number", "7"),
            ("string", "\"x\""),
            ("array", "[]"),
            ("object", "{\"x\": 1}"),
        ];
        let number = |kind: &str| kind == "number" && types.contains("integer");
        for (kind, value) in values {
            if !types.is_empty() && !types.contains(kind) && !number(kind) {
                self.put(pointer, value.as_bytes(), Flaw::Unfit);
            }
        }
    }

    /// Numbers that are none, or that nobody can mean.
    fn of_number(&mut self, pointer: &str, schema: &Schema) {
        let types = schema.types();
        let decimal = types.contains("number") && types.contains("string");
        if !decimal && !types.contains("integer") {
            return;
        }
        let long = "9".repeat(101);
        let precise = format!("0.{}1", "0".repeat(30));
        for number in ["1e400", "-1e400", "1e-400", "1e2147483648", &long, &precise] {
            self.put(pointer, number.as_bytes(), Flaw::Unfit);
        }
        for literal in [
            "NaN", "Infinity", "0x10", "+1", ".5", "1.", "01", "1_000", "1,5", "1e", "--1", "\u{661}",
        ] {
            self.put(pointer, literal.as_bytes(), Flaw::Malformed);
        }
        if decimal {
            for text in [
                "", " 1", "1 ", "+1", "0x1", "1,5", "1_0", "NaN", "\u{661}", "\u{ff11}", "1e400", &long,
            ] {
                self.put(pointer, json!(text).to_string().as_bytes(), Flaw::Unfit);
            }
        } else {
            for number in ["1.5", "1e0", "9223372036854775808", "\"1\""] {
                self.put(pointer, number.as_bytes(), Flaw::Unfit);
            }
        }
        let least = schema.bound("number", "exclusiveMinimum");
        if least == Some(0) || schema.bound("integer", "minimum") == Some(1) {
            for number in ["0", "-0", "-1", "-9223372036854775808"] {
                self.put(pointer, number.as_bytes(), Flaw::Unfit);
            }
        }
    }

    /// Texts that are none, or that the schema does not admit.
    fn of_text(&mut self, pointer: &str, schema: &Schema) {
        if !schema.types().contains("string") {
            return;
        }
        for broken in [
            b"\"\xff\"".as_slice(),
            b"\"\xc0\xaf\"",
            b"\"\xed\xa0\x80\"",
            b"\"\n\"",
            b"\"\\x\"",
            b"'x'",
        ] {
            self.put(pointer, broken, Flaw::Malformed);
        }
        self.put(pointer, b"\"\\ud800\"", Flaw::Doubtful);
        if let Some(most) = schema.bound("string", "maxLength") {
            let most = usize::try_from(most).unwrap();
            self.put(pointer, format!("\"{}\"", "x".repeat(most + 1)).as_bytes(), Flaw::Unfit);
            self.put(pointer, format!("\"{}\"", "x".repeat(14_000)).as_bytes(), Flaw::Unfit);
        }
        if schema.bound("string", "minLength").is_some_and(|least| least > 0) {
            self.put(pointer, b"\"\"", Flaw::Unfit);
        }
        if schema.is_closed() {
            self.put(pointer, b"\"no such thing\"", Flaw::Unfit);
        }
        if schema.is_printable() {
            self.put(pointer, b"\"a\\u0000b\"", Flaw::Unfit);
        }
    }
}

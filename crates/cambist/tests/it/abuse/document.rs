//! The operations there are, read from the documents that the system publishes of itself: what is added later is abused
//! without anybody thinking of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::line::Request;

/// What an operation asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    UserToken,
    CallerToken,
}

/// An operation, as its document has it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) template: String,
    pub(super) needs: Needs,
    pub(super) body: Option<Body>,
    /// The names of the query's parameters, each with its schema.
    pub(super) query: Vec<(String, Schema)>,
    /// The problems it says that it answers with.
    problems: BTreeSet<(u16, String)>,
}

/// A body, as it is documented.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) example: Value,
    pub(super) schema: Schema,
}

/// A schema within its document.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    here: Value,
    document: Arc<Value>,
}

/// All operations of the listener at `base`.
pub(super) async fn operations(base: &str) -> Vec<Operation> {
    let answer = Request::new("GET", "/openapi.json").answered(base).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let document = Arc::new(answer.body);
    let mut operations = Vec::new();
    for (template, item) in object(&document["paths"]) {
        for (method, said) in object(item) {
            operations.push(operation(&document, template, method, said));
        }
    }
    operations
}

fn operation(document: &Arc<Value>, template: &str, method: &str, said: &Value) -> Operation {
    let schema = |here: &Value| Schema {
        here: here.clone(),
        document: Arc::clone(document),
    };
    let method = method.to_uppercase();
    let needs = match said["security"][0].as_object().and_then(|all| all.keys().next()) {
        None => Needs::Nothing,
        Some(scheme) if scheme == "user" => Needs::UserToken,
        Some(scheme) if scheme == "caller" => Needs::CallerToken,
        Some(scheme) => panic!("{method} {template}: nobody knows how to prove {scheme}"),
    };
    let body = said.get("requestBody").map(|body| {
        let content = &body["content"]["application/json"];
        let schema = schema(&content["schema"]);
        let example = content.get("example").cloned().or_else(|| schema.example());
        Body {
            required: body["required"] == true,
            example: example.unwrap_or_else(|| panic!("{method} {template} has no example to start from: {body}")),
            schema,
        }
    });
    let parameters = said["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
    Operation {
        query: query
            .map(|parameter| (text(&parameter["name"]), schema(&parameter["schema"])))
            .collect(),
        problems: problems(&said["responses"]),
        template: template.to_owned(),
        method,
        needs,
        body,
    }
}

fn problems(responses: &Value) -> BTreeSet<(u16, String)> {
    let mut problems = BTreeSet::new();
    for (status, response) in object(responses) {
        let codes =
            &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"];
        for code in codes.as_array().map_or(&[][..], Vec::as_slice) {
            problems.insert((status.parse().unwrap(), text(code)));
        }
    }
    problems
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}"))
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.template)
    }
}

impl Operation {
    /// The names between the braces of its path.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let parts = self.template.split('/');
        parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Its path, with what `value` says for each name.
    pub(super) fn path(&self, value: impl Fn(&str) -> String) -> String {
        let names = self.names();
        names.fold(self.template.clone(), |path, name| {
            path.replace(&format!("{{{name}}}"), &value(name))
        })
    }

    /// Whether it says that it answers with this problem.
    pub(super) fn documents(&self, status: u16, code: &str) -> bool {
        self.problems.contains(&(status, code.to_owned()))
    }
}

impl Schema {
    fn at(&self, here: &Value) -> Self {
        Self {
            here: here.clone(),
            document: Arc::clone(&self.document),
        }
    }

    /// What it stands for, where it is only a name.
    fn resolved(&self) -> Self {
        match self.here["$ref"].as_str() {
            None => self.clone(),
            Some(reference) => {
                let target = self.document.pointer(reference.trim_start_matches('#'));
                self.at(target.unwrap_or_else(|| panic!("{reference} is not in the document")))
                    .resolved()
            }
        }
    }

    /// Its own example.
    fn example(&self) -> Option<Value> {
        let mut alternatives = self.alternatives().into_iter();
        alternatives.find_map(|schema| schema.here["examples"].get(0).cloned())
    }

    /// The alternatives it consists of; itself, where there is one.
    pub(super) fn alternatives(&self) -> Vec<Self> {
        let resolved = self.resolved();
        let of = |key: &str| resolved.here[key].as_array().cloned();
        match of("oneOf").or_else(|| of("anyOf")) {
            Some(all) => all.iter().flat_map(|one| self.at(one).alternatives()).collect(),
            None => vec![resolved],
        }
    }

    /// The JSON types it admits; empty where it does not say.
    pub(super) fn types(&self) -> BTreeSet<String> {
        let mut types = BTreeSet::new();
        for alternative in self.alternatives() {
            match &alternative.here["type"] {
                Value::String(one) => types.extend([one.clone()]),
                Value::Array(several) => types.extend(several.iter().map(text)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return BTreeSet::new(),
            }
        }
        types
    }

    /// The fields of the object that `example` is one of, each with its schema and whether it must be there.
    pub(super) fn fields(&self, example: &Map<String, Value>) -> Vec<(String, Self, bool)> {
        let alternatives = self.alternatives().into_iter();
        let mut fitting = alternatives.filter(|schema| {
            let required = schema.required();
            required.iter().all(|name| example.contains_key(name)) && schema.here["properties"].is_object()
        });
        let Some(schema) = fitting.next() else {
            return Vec::new();
        };
        let required = schema.required();
        let fields = object(&schema.here["properties"]).iter();
        fields
            .map(|(name, field)| (name.clone(), self.at(field), required.contains(name)))
            .collect()
    }

    fn required(&self) -> Vec<String> {
        let names = self.here["required"].as_array().map_or(&[][..], Vec::as_slice);
        names.iter().map(text).collect()
    }

    /// What the items of this array are.
    pub(super) fn items(&self) -> Option<Self> {
        let mut arrays = self.alternatives().into_iter();
        arrays.find_map(|schema| schema.here.get("items").map(|items| self.at(items)))
    }

    /// A number that bounds it, such as `maxLength`, if each alternative that `kind` has is bounded.
    pub(super) fn bound(&self, kind: &str, name: &str) -> Option<i64> {
        let alternatives = self.alternatives();
        let mut of_kind = alternatives.iter().filter(|schema| schema.types().contains(kind));
        of_kind.next().and_then(|schema| schema.here[name].as_i64())
    }

    /// Whether it names its values one by one.
    pub(super) fn is_closed(&self) -> bool {
        let alternatives = self.alternatives();
        let mut texts = alternatives.iter().filter(|schema| schema.types().contains("string"));
        texts.all(|schema| schema.here["enum"].is_array())
    }

    /// Whether its texts follow a pattern in which no control character occurs.
    pub(super) fn is_printable(&self) -> bool {
        let alternatives = self.alternatives();
        let mut patterns = alternatives.iter().filter_map(|schema| schema.here["pattern"].as_str());
        patterns.any(|pattern| pattern.contains("\\x00"))
    }
}

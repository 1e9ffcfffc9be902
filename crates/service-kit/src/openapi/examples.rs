//! Examples stand once, at their type; here they are shown where the type is sent or answered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::{Content, OpenApi, RefOr};

use super::operation::operations;

type Schemas = BTreeMap<String, RefOr<Schema>>;

const REFERENCE: &str = "#/components/schemas/";

/// Gives every body and answer the example of its type, where it has none of its own.
pub(super) fn show_examples(api: &mut OpenApi) {
    let schemas = api.components.clone().unwrap_or_default().schemas;
    for (_, operation) in operations(api) {
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            body.content.values_mut().for_each(|content| show(content, &schemas));
        }
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                response
                    .content
                    .values_mut()
                    .for_each(|content| show(content, &schemas));
            }
        }
    }
}

fn show(content: &mut RefOr<Content>, schemas: &Schemas) {
    if let RefOr::T(content) = content
        && content.example.is_none()
        && content.examples.is_empty()
    {
        content.example = content.schema.as_ref().and_then(|schema| example(schema, schemas));
    }
}

/// The type's own example; of a list, or a page of one, a list with its item's.
fn example(schema: &RefOr<Schema>, schemas: &Schemas) -> Option<Value> {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.strip_prefix(REFERENCE)?;
            example(schemas.get(name)?, schemas)
        }
        RefOr::T(Schema::Array(array)) => match &array.items {
            ArrayItems::RefOrSchema(item) => Some(json!([example(item, schemas)?])),
            ArrayItems::False => None,
        },
        RefOr::T(Schema::Object(object)) => match object.examples.first() {
            Some(example) => Some(example.clone()),
            None => {
                let items = example(object.properties.get("items")?, schemas)?;
                object.properties.get("next_cursor")?;
                Some(json!({"items": items, "next_cursor": null}))
            }
        },
        RefOr::T(_) => None,
    }
}

//! What a refusal looks like to a machine.

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{Number, PartialSchema, ToSchema};

use super::Problem;

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl ToSchema for Problem {}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = |description: &str| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(description))
        };
        let error = ObjectBuilder::new()
            .property(
                "pointer",
                text("Where, as a JSON pointer (RFC 6901); empty for the whole body."),
            )
            .required("pointer")
            .property("detail", text("What is wrong with it."))
            .required("detail")
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
        let id = |description: &str| {
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(Number::Int(1)))
                .description(Some(description))
        };
        ObjectBuilder::new()
        .description(Some(
            "A refusal (RFC 9457). Branch on `code`: it keeps its meaning and its status. `docs/PROBLEMS.md` lists all.",
        ))
        .property(
            "type",
            text("`urn:cambist:problem:` and the code.").pattern(Some("^urn:cambist:problem:[a-z_]+$")),
        )
        .required("type")
        .property("title", text("The same for every occurrence."))
        .required("title")
        .property(
            "status",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(Number::Int(400)))
                .maximum(Some(Number::Int(599)))
                .description(Some("The HTTP status.")),
        )
        .required("status")
        .property("code", text("Which problem it is, for programs."))
        .required("code")
        .property("detail", text("What is particular about this occurrence, for people."))
        .property("errors", ArrayBuilder::new().items(error).description(Some("The fields to blame.")))
        .property("path", text("The path, where there is nothing at it, whoever asks."))
        .property("order_id", id("The order it is about."))
        .property("deposit_id", id("The deposit it is about."))
        .into()
    }
}

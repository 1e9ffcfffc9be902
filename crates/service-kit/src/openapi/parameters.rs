//! Parameters as they are documented: each by the extractor that reads it.

use contracts::{DepositId, OrderId, UserId};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Required};
use utoipa::{IntoParams, Number, PartialSchema};

use crate::extract::{EmptyBody, IdempotencyKey, PageLimit, PathParam};

/// The schema of a path's part with this name. `None` when no extractor of ours reads it: then the handler declares it.
pub(super) fn path_parameter(name: &str) -> Option<Parameter> {
    let schema = match name {
        UserId::NAME => UserId::schema(),
        OrderId::NAME => OrderId::schema(),
        DepositId::NAME => DepositId::schema(),
        _ => return None,
    };
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(schema));
    Some(parameter.build())
}

/// `Option<i64>` of a parameter means that it may be left out: there is no `null` in a query, and an `i64` has its ends.
pub(super) fn be_exact(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else {
        return;
    };
    if let SchemaType::Array(types) = &mut schema.schema_type {
        types.retain(|it| *it != Type::Null);
        if let [only] = types.as_slice() {
            schema.schema_type = SchemaType::Type(only.clone());
        }
    }
    let int64 = SchemaFormat::KnownFormat(KnownFormat::Int64);
    if schema.format == Some(int64) {
        schema.minimum.get_or_insert(Number::Int(isize::MIN));
        schema.maximum.get_or_insert(Number::Int(isize::MAX));
    }
}

impl PartialSchema for PageLimit {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("How many items."))
            .minimum(Some(Number::Int(1)))
            .maximum(Some(Number::UInt(usize::from(Self::MAX))))
            .default(Some(Self::default().get().into()))
            .into()
    }
}

impl utoipa::ToSchema for PageLimit {}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(Self::MAX_LEN))
            .pattern(Some("^[!-~]+$"));
        let description = "Your name for this request. Sent again with the same request it has no second effect: the \
                           answer is the first one's, with the header `Idempotency-Replayed`.";
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema))
            .example(Some("9f1c2d34-buy-1".into()));
        vec![parameter.build()]
    }
}

/// What stands for "no body" where a client cannot send none: `{}`.
impl PartialSchema for EmptyBody {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some("Nothing."))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
            .examples([serde_json::json!({})])
            .into()
    }
}

impl utoipa::ToSchema for EmptyBody {}

//! What a form says, as data: a JSON Schema (draft 2020-12) of the wrapper of a kind, with what JSON
//! Schema has no word for under `x-aimslog`.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::comments;
use aimslog_proto::aims::kind::{Kind, Need as GuardNeed};
use aimslog_proto::aims::schema::{FieldSchema, MessageSchema, ValueType};
use aimslog_proto::limits::{
    CONTROLS_MAX, INTEGER_MAX, LINKS_MAX, LIST_ELEMENTS_MAX, TEXT_BYTES_MAX,
};
use serde_json::{Map, Value, json};

use super::hint::{format_pattern, format_words, meanings};

/// The outline of a kind. `record` is the strict form, as the ledger keeps it; readers of files take
/// freer ones.
pub fn outline(bundle: &RuleBundle, kind: &Kind) -> Value {
    let relations: Vec<&str> = kind
        .links()
        .iter()
        .map(|link| link.relation.as_str())
        .collect();
    let link = json!({
        "type": "array", "minItems": 2, "maxItems": 2,
        "prefixItems": [{ "enum": relations }, { "$ref": "#/$defs/target" }],
    });
    let meta = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["kind"],
        "properties": {
            "kind": { "const": kind.name() },
            "version": { "const": kind.version() },
            "key": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
            "subject": { "type": "string", "pattern": "^(aims:)?[a-z0-9][a-z0-9-]{0,62}$" },
            "transition": { "enum": kind.states() },
            "amends": { "$ref": "#/$defs/target" },
            "change": { "enum": ["amend", "correct", "retract"] },
            "links": { "type": "array", "maxItems": LINKS_MAX, "items": link },
            "controls": {
                "type": "array", "maxItems": CONTROLS_MAX, "items": { "type": "string" },
            },
        },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{}.v{}", kind.name(), kind.version()),
        "description": comments::of_message(&kind.schema().full_name),
        "type": "object",
        "additionalProperties": false,
        "required": ["meta", "record"],
        "properties": { "meta": meta, "record": message(kind.schema()) },
        "$defs": {
            "target": { "type": "string", "pattern": "^([A-Za-z0-9_-]{43}|key:[A-Za-z0-9._-]{1,64})$" },
        },
        "x-aimslog": tables(bundle, kind),
    })
}

fn message(schema: &MessageSchema) -> Value {
    let properties = schema.fields.iter().map(|field| {
        let said = comments::of_field(&schema.full_name, &field.name);
        (field.name.clone(), property(field, said))
    });
    let required = schema.fields.iter().filter(|field| field.required);
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required.map(|field| field.name.as_str()).collect::<Vec<_>>(),
        "properties": properties.collect::<Map<_, _>>(),
    })
}

fn property(field: &FieldSchema, said: Option<&str>) -> Value {
    let one = match &field.value {
        ValueType::Text(format) => {
            let mut text = json!({
                "type": "string", "maxLength": TEXT_BYTES_MAX, "x-format": format_words(*format),
            });
            if let Some(pattern) = format_pattern(*format) {
                set(&mut text, "pattern", json!(pattern));
            }
            text
        }
        ValueType::Bool => json!({ "type": "boolean" }),
        ValueType::Unsigned => json!({ "type": "integer", "minimum": 0, "maximum": INTEGER_MAX }),
        ValueType::Timestamp => json!({ "type": "string", "format": "date-time" }),
        ValueType::Enum(names) => json!({
            "enum": names.names,
            "x-meanings": meanings(names).map(|(name, said)| (name.to_owned(), json!(said)))
                .collect::<Map<_, _>>(),
        }),
        ValueType::Message(schema) => message(schema),
    };
    let mut property = if field.repeated {
        let fewest = usize::from(field.required);
        json!({ "type": "array", "minItems": fewest, "maxItems": LIST_ELEMENTS_MAX, "items": one })
    } else {
        one
    };
    set(&mut property, "description", json!(said));
    property
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The tables of the kind, state by state.
fn tables(bundle: &RuleBundle, kind: &Kind) -> Value {
    let states = kind.states().iter().map(|state| {
        let guards = kind.life_cycle().guards_of(state).map(|guard| {
            json!({
                "id": guard.id, "rule": guard.rule, "person": guard.need == GuardNeed::Person,
                "staying": guard.is_for_staying(),
            })
        });
        let signers = kind.signers(Some(state));
        let tables = json!({
            "initial": kind.initial_states().contains(state),
            "after": kind.states_after(state),
            "signers": signers,
            "agents": kind.is_for_agents(Some(state)),
            "signer_field": kind.signer_field(state),
            "guards": guards.collect::<Vec<_>>(),
        });
        (state.clone(), tables)
    });
    let content = kind.content_rules().iter().map(|rule| {
        json!({
            "each": rule.each, "field": rule.field, "values": rule.values, "require": rule.require,
        })
    });
    let links = kind
        .links()
        .iter()
        .map(|link| json!({ "relation": link.relation, "kinds": link.kinds }));
    let controls = bundle.schemes().catalogues().flat_map(|catalogue| {
        let controls = catalogue.controls().iter();
        let evidenced = controls.filter(|control| control.kinds.iter().any(|it| it == kind.name()));
        evidenced.map(|control| format!("{}/{}", catalogue.scheme(), control.id))
    });
    json!({
        "kind": kind.name(),
        "version": kind.version(),
        "fields": kind.field_names().collect::<Vec<_>>(),
        "subjects": kind.subjects(),
        "status_field": kind.status_field(),
        "states": states.collect::<Map<_, _>>(),
        "content": content.collect::<Vec<_>>(),
        "ordered_times": kind.ordered_times(),
        "distinct_people": kind.distinct_people(),
        "links": links.collect::<Vec<_>>(),
        "controls": controls.collect::<Vec<_>>(),
        "retention": kind.retention(),
        "sealed": kind.is_sealed_allowed(),
    })
}

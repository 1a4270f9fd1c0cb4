//! What a mapping names that there is not: kinds, fields, members of `meta`, relations. Each row would
//! be refused for it; here it is said once, with the nearest.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Kind;

use super::{Mapping, RecordMap, Source};
use crate::import::path::unknown_in;

/// Everything that is wrong with a mapping, whatever the table is.
pub(super) fn check(mapping: &Mapping) -> Vec<String> {
    let mut wrong = Vec::new();
    if mapping.record.is_empty() {
        wrong.push("a mapping has a [[record]]: what a row becomes".to_owned());
    }
    for (number, record) in (1..).zip(&mapping.record) {
        match RuleBundle::v1().newest_kind(&record.kind) {
            Ok(kind) => {
                let found = of_record(kind, record).into_iter();
                wrong
                    .extend(found.map(|what| format!("record {number} ({}): {what}", record.kind)));
            }
            Err(violation) => wrong.push(format!("record {number}: kind: {violation}")),
        }
    }
    wrong
}

fn of_record(kind: &Kind, record: &RecordMap) -> Vec<String> {
    let mut wrong = Vec::new();
    for (area, sources) in [("meta", &record.meta), ("record", &record.fields)] {
        for (path, source) in sources {
            if let Some(unknown) = unknown_in(kind, &format!("{area}.{path}")) {
                let near = unknown.nearest.map(|near| format!("; nearest: {near}"));
                let near = near.unwrap_or_default();
                let what = if area == "meta" {
                    "`meta`"
                } else {
                    kind.name()
                };
                wrong.push(format!("{path}: {what} has no {}{near}", unknown.name));
            }
            let is_empty = |source: &Source| match source {
                Source::Column(column) => column.column.names().is_empty(),
                Source::Text(_) | Source::Truth(_) | Source::Number(_) => false,
            };
            if is_empty(source) {
                wrong.push(format!("{path}: `column` says which column it is"));
            }
        }
    }
    for (relation, _) in &record.links {
        if let Err(violation) = kind.check_relation(relation) {
            wrong.push(format!("links: {violation}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_there_are_not_are_told_once_with_the_nearest() {
        let text = "
            [[record]]
            kind = \"nonconformty\"
            fields = {}
            [[record]]
            kind = \"corrective_action\"
            meta.ky = \"{NC ID}\"
            links = [[\"nonconformty\", \"key:{NC ID}\"]]
            [record.fields]
            actin = \"{Action}\"
            \"actor.idd\" = \"p-1\"
            owner = { column = [] }
        ";
        let wrong = check(&Mapping::parse(text).unwrap());
        for (found, expected) in wrong.iter().zip([
            "record 1: kind: ",
            "record 2 (corrective_action): ky: `meta` has no ky; nearest: key",
            "record 2 (corrective_action): actin: corrective_action has no actin; nearest: action",
            "record 2 (corrective_action): actor.idd: corrective_action has no idd; nearest: id",
            "record 2 (corrective_action): owner: `column` says",
            "record 2 (corrective_action): links: ",
        ]) {
            assert!(found.starts_with(expected), "{found}");
        }
        assert_eq!(wrong.len(), 6, "{wrong:#?}");
        assert!(wrong[0].contains("nonconformity"), "{}", wrong[0]);
        let none = Mapping::parse("record = []\n").unwrap();
        assert_eq!(check(&none).len(), 1);
    }
}

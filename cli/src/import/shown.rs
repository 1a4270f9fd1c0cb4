//! A record of a row as the form that somebody would have filled in: what is about to be signed, whole.

use aimslog_client::form::{Detail, Filled, filled_form};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Subject, Submission, Target};
use aimslog_proto::statement::header::Change;
use aimslog_proto::statement::json::Json;

/// The form in YAML. Nothing of a kind that this program does not know.
pub(crate) fn form_of(submission: &Submission) -> Option<String> {
    let bundle = RuleBundle::v1();
    let (name, version) = (submission.record.kind(), submission.record.version());
    let kind = bundle.kind(name, version).ok()?;
    let meta = meta_of(submission);
    let fields = submission.record.fields(kind);
    let record: Vec<(&str, Json)> = fields
        .filter_map(|(name, value)| Some((name, value?.clone())))
        .collect();
    let filled = Filled {
        meta: &meta,
        record: &record,
        detail: Detail::Brief,
    };
    filled_form(bundle, (kind, submission.transition.as_deref()), filled).ok()
}

fn meta_of(submission: &Submission) -> Vec<(&'static str, Json)> {
    let text = |text: &str| Json::Text(text.to_owned());
    let mut meta = Vec::new();
    meta.extend(submission.key.as_deref().map(|key| ("key", text(key))));
    let subject = match &submission.subject {
        Subject::System(id) => id.clone(),
        Subject::Aims(id) => format!("aims:{id}"),
    };
    meta.push(("subject", Json::Text(subject)));
    let state = submission.transition.as_deref();
    meta.extend(state.map(|state| ("transition", text(state))));
    if let Some((target, change)) = &submission.amends {
        let change = match change {
            Change::Amend => "amend",
            Change::Correct => "correct",
            Change::Retract => "retract",
        };
        meta.push(("amends", Json::Text(target_text(target))));
        meta.push(("change", text(change)));
    }
    let links = submission.links.iter().map(|link| {
        let pair = [link.relation.clone(), target_text(&link.target)];
        Json::Array(pair.map(Json::Text).into())
    });
    let controls = submission.controls.iter();
    let controls = controls.map(|(scheme, id)| Json::Text(format!("{scheme}/{id}")));
    for (name, list) in [
        ("links", links.collect::<Vec<_>>()),
        ("controls", controls.collect()),
    ] {
        if !list.is_empty() {
            meta.push((name, Json::Array(list)));
        }
    }
    meta
}

fn target_text(target: &Target) -> String {
    match target {
        Target::Entry(id) => id.to_string(),
        Target::Key(key) => format!("key:{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_client::form::{Notation, read_file};
    use aimslog_proto::aims::submission::parse_file;

    #[test]
    fn the_form_of_a_record_reads_as_the_same_record() {
        let demo = include_bytes!("../../demo/01-inventory.jsonl");
        for submission in parse_file(RuleBundle::v1(), demo) {
            let submission = submission.unwrap();
            let form = form_of(&submission).unwrap();
            let mut read = read_file(RuleBundle::v1(), Notation::Yaml, form.as_bytes());
            let read = read
                .swap_remove(0)
                .unwrap_or_else(|error| panic!("{error:?}\n{form}"));
            assert_eq!(read.record, submission.record, "{form}");
            assert_eq!(read.subject, submission.subject);
            assert_eq!(read.links, submission.links);
            assert_eq!(read.transition, submission.transition);
        }
    }
}

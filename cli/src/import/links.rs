//! Links of rows: to other rows of the table, and to what earlier imports and other runs have logged.

use std::collections::BTreeSet;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::submission::{Submission, SubmissionLink, Target};
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::id::EntryId;

use super::memory::Memory;
use super::rows::Made;
use crate::broken::Broken;

/// What is logged besides the rows of the table, by key.
#[derive(Debug, Default)]
pub(crate) struct Outside<'a> {
    /// Keys of the file of `--known`, which are resolved when a record is signed.
    pub(crate) keys: BTreeSet<String>,
    /// What this context has imported before.
    pub(crate) memory: Option<&'a Memory>,
}

impl Outside<'_> {
    /// Whether a link leads to something that is logged.
    fn has(&self, record: &Submission, link: &SubmissionLink) -> bool {
        match &link.target {
            Target::Entry(_) => true,
            Target::Key(key) => {
                let remembered = |memory: &Memory| imported(memory, record, link).is_some();
                self.keys.contains(key) || self.memory.is_some_and(remembered)
            }
        }
    }
}

/// The entry of an earlier import that a link names by its key: of a kind that the relation leads to.
pub(crate) fn imported(
    memory: &Memory,
    record: &Submission,
    link: &SubmissionLink,
) -> Option<EntryId> {
    let Target::Key(key) = &link.target else {
        return None;
    };
    let (name, version) = (record.record.kind(), record.record.version());
    let kind = RuleBundle::v1().kind(name, version).ok()?;
    let rule = kind.check_relation(&link.relation).ok()?;
    let mut kinds = rule.kinds.iter();
    kinds.find_map(|kind| memory.entry(kind, key))
}

/// Refuses records whose links lead nowhere: to a row that is refused, or to a key that nobody knows.
pub(crate) fn refuse_dangling(made: &mut [Made], outside: &Outside<'_>) {
    let mut valid: BTreeSet<String> = BTreeSet::new();
    for one in made {
        let Ok(submission) = &one.result else {
            continue;
        };
        let is_here = |link: &SubmissionLink| match &link.target {
            Target::Key(key) => valid.contains(key),
            Target::Entry(_) => true,
        };
        let links = submission.links.iter().enumerate();
        let missing = links.filter(|(_, link)| !is_here(link) && !outside.has(submission, link));
        let missing: Vec<Broken> = missing.map(|found| dangling(one, found)).collect();
        if missing.is_empty() {
            valid.extend(submission.key.clone());
        } else {
            one.result = Err(missing);
        }
    }
}

fn dangling(made: &Made, (index, link): (usize, &SubmissionLink)) -> Broken {
    let rule = "a link leads to a valid record of an earlier row, to one of an earlier import, or to an entry";
    let violation = Violation::new(Reason::MissingLinkTarget, "meta.links", rule);
    let violation = match &link.target {
        Target::Key(key) => violation.found(format!("key:{key}")),
        Target::Entry(id) => violation.found(id.to_string()),
    };
    let advice =
        "import the register that has it first, or give --known FILE of the run that logged it";
    let place = made.place_of(&format!("meta.links[{index}]"));
    Broken::advised(&violation, advice).written_at(place)
}

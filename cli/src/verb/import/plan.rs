//! What is to be done with the rows of a run: which are sent, as new records or as new versions, and
//! which the ledger would refuse.

use std::collections::BTreeSet;
use std::path::Path;

use aimslog_proto::aims::submission::{Submission, Target};
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::header::Change;

use crate::broken::Broken;
use crate::import::links::imported;
use crate::import::memory::{Memory, Seen};
use crate::import::rows::Made;
use crate::records::{FileRecord, Lines};
use crate::verb::submit::{REFUSED, Told};

/// The rows of a run, sorted by what is to be done with them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What is sent.
    pub(super) send: Vec<FileRecord>,
    /// The same as the rows gave it, for the memory.
    pub(super) given: Vec<Submission>,
    /// Imported before, and the same.
    pub(super) same: usize,
    /// Logged as new versions.
    pub(super) amended: usize,
    /// Left out, because the ledger would refuse them.
    pub(super) left_out: usize,
}

impl Plan {
    pub(super) fn new(file: &Path, made: Vec<Made>, memory: &Memory) -> Self {
        let mut plan = Self::default();
        let mut sent: BTreeSet<String> = BTreeSet::new();
        for (number, one) in (1..).zip(made) {
            let Made {
                place,
                result: Ok(mut submission),
                ..
            } = one
            else {
                continue;
            };
            let given = submission.clone();
            match memory.seen(&submission) {
                Seen::New => {}
                Seen::Same(_) => {
                    plan.same += 1;
                    continue;
                }
                Seen::Changed(entry) => {
                    plan.amended += 1;
                    submission.amends = Some((Target::Entry(entry), Change::Amend));
                }
            }
            // What is not sent in this run is linked to by the entry that it became.
            let mut links = std::mem::take(&mut submission.links);
            for link in &mut links {
                let is_sent = matches!(&link.target, Target::Key(key) if sent.contains(key));
                let entry = imported(memory, &submission, link).filter(|_| !is_sent);
                if let Some(entry) = entry {
                    link.target = Target::Entry(entry);
                }
            }
            submission.links = links;
            sent.extend(submission.key.clone());
            plan.given.push(given);
            plan.send.push(FileRecord {
                file: file.to_owned(),
                number,
                place: Some(place),
                lines: Lines::new(),
                submission,
            });
        }
        plan
    }

    /// Leaves out what the ledger would refuse, and what links to that. `told` is what it says of each
    /// record, in order.
    pub(super) fn leave_out(&mut self, told: &[Told]) {
        let mut gone: BTreeSet<String> = BTreeSet::new();
        let plan = std::mem::take(self);
        (self.same, self.amended) = (plan.same, plan.amended);
        let records = plan.send.into_iter().zip(plan.given);
        for ((record, given), told) in records.zip(told) {
            let submission = &record.submission;
            let mut links = submission.links.iter();
            let dangles =
                links.any(|link| matches!(&link.target, Target::Key(key) if gone.contains(key)));
            if told.status == REFUSED || dangles {
                gone.extend(submission.key.clone());
                self.left_out += 1;
                self.amended -= usize::from(submission.amends.is_some());
                continue;
            }
            self.send.push(record);
            self.given.push(given);
        }
    }
}

/// A row that has changed since it was imported is a new version of a record, not a new record.
pub(super) fn refuse_changed(made: &mut [Made], memory: &Memory) {
    for one in made {
        let Ok(submission) = &one.result else {
            continue;
        };
        let Seen::Changed(entry) = memory.seen(submission) else {
            continue;
        };
        let rule = "a row that was imported is as it was then";
        let violation = Violation::new(Reason::AlreadyLogged, "record", rule);
        let violation = violation.found(format!("logged as {entry}"));
        let advice = "--changed amend logs it as a new version";
        one.result = Err(vec![
            Broken::advised(&violation, advice).written_at(one.place.clone()),
        ]);
    }
}

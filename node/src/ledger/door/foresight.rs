//! What apply would say of a statement if it were the next entry now.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use aimslog_proto::{
    reason::{Reason, Violation},
    statement::{EntryId, UnverifiedStatement, header::Family},
};

use super::{DoorView, logged_at};
use crate::ledger::{
    apply::ApplyError,
    entries::check_system_claims,
    evidence::{Case, Judgement, judge},
};
use crate::store::state_db::Rows;

/// The statements of one call. One may refer to others, which may be logged before it: what it says
/// of them cannot be judged before they are.
#[derive(Debug, Default)]
pub struct Companions<'a> {
    statements: Vec<&'a [u8]>,
    /// Worked out when the first refused statement refers to anything.
    ids: OnceCell<BTreeSet<EntryId>>,
}

impl<'a> Companions<'a> {
    /// These statements, as they were sent.
    pub fn of(statements: impl Iterator<Item = &'a [u8]>) -> Self {
        Self {
            statements: statements.collect(),
            ids: OnceCell::new(),
        }
    }

    fn contains(&self, id: &EntryId) -> bool {
        let of_sent = |bytes: &&[u8]| match UnverifiedStatement::parse_submitted(bytes) {
            Ok(statement) => statement.entry_id(),
            Err(_refused) => EntryId::of(bytes),
        };
        self.ids
            .get_or_init(|| self.statements.iter().map(of_sent).collect())
            .contains(id)
    }
}

/// What speaks against the statement now, but for what its companions may still change. Nothing for
/// what is in the log already: sent again, it gets its first result.
pub(super) fn of<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    statement: &UnverifiedStatement,
    attachments: &[[u8; 32]],
) -> Result<Vec<Violation>, ApplyError> {
    if logged_at(view.rows, statement.entry_id())?.is_some() {
        return Ok(Vec::new());
    }
    let header = statement.header();
    if header.content_type.family() == Family::Ledger {
        return Ok(check_system_claims(
            view.rows,
            (view.registry, header),
            view.now,
        )?);
    }
    let case = Case {
        statement,
        index: view.next,
        time: view.now,
        attachments,
    };
    let mut found = match judge(view.rows, view.registry, &case)? {
        Judgement::Accepted(_) => return Ok(Vec::new()),
        Judgement::Refused(found) => found,
    };
    let links = header.links.iter().map(|link| link.target);
    let versions = header.revision.map_or(Vec::new(), |revision| {
        vec![revision.entity, revision.previous]
    });
    let mut coming = Vec::new();
    for id in links.chain(versions.iter().copied()) {
        if view.companions.contains(&id) && logged_at(view.rows, id)?.is_none() {
            coming.push(id);
        }
    }
    let follows = versions.iter().any(|version| coming.contains(version));
    let coming: Vec<String> = coming.iter().map(ToString::to_string).collect();
    found.retain(|violation| match violation.reason {
        Reason::MissingLinkTarget => violation
            .found
            .as_ref()
            .is_none_or(|found| !coming.contains(found)),
        Reason::VersionConflict | Reason::InvalidTransition => !follows,
        _ => true,
    });
    Ok(found)
}

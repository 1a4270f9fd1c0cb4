//! What apply would say of a statement if it were the next entry now.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use aimslog_proto::{
    aims::{
        judge::{Signed, check_signed, kind_text},
        kind::{Guard, Kind, Need},
    },
    reason::{Reason, Violation},
    statement::{
        EntryId, UnverifiedStatement,
        header::{Family, Header},
    },
};

use super::{DoorView, logged_at};
use crate::ledger::{
    apply::{ApplyError, rules_at},
    entries::check_system_claims,
    evidence::{Case, Judgement, judge_signed, position},
};
use crate::store::state_db::Rows;

/// The statements of one call. One may refer to others, which may be logged before it: what it says
/// of them cannot be judged before they are.
#[derive(Debug, Default)]
pub struct Companions<'a> {
    statements: Vec<&'a [u8]>,
    /// Worked out when the first statement refers to anything; no header where it cannot be read.
    headers: OnceCell<BTreeMap<EntryId, Option<Header>>>,
}

impl<'a> Companions<'a> {
    /// These statements, as they were sent.
    pub fn of(statements: impl Iterator<Item = &'a [u8]>) -> Self {
        Self {
            statements: statements.collect(),
            headers: OnceCell::new(),
        }
    }

    fn headers(&self) -> &BTreeMap<EntryId, Option<Header>> {
        let of_sent = |bytes: &&[u8]| match UnverifiedStatement::parse_submitted(bytes) {
            Ok(statement) => (statement.entry_id(), Some(statement.header().clone())),
            Err(_refused) => (EntryId::of(bytes), None),
        };
        self.headers
            .get_or_init(|| self.statements.iter().map(of_sent).collect())
    }

    fn contains(&self, id: &EntryId) -> bool {
        self.headers().contains_key(id)
    }

    /// Those of this kind that have a link with this relation.
    fn linking(&self, (kind, relation): (&str, &str)) -> impl Iterator<Item = EntryId> {
        let links = move |header: &Header| {
            let mut links = header.links.iter();
            kind_text(&header.content_type) == kind && links.any(|link| link.relation == relation)
        };
        let those = self.headers().iter();
        those
            .filter(move |(_, header)| header.as_ref().is_some_and(links))
            .map(|(id, _)| *id)
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
    let signed = check_signed(position(view.registry, view.next)?, header);
    of_evidence(view, (statement, attachments), signed)
}

/// The same of evidence that is not in the log, behind what header, registry and rules say alone.
pub(super) fn of_evidence<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    (statement, attachments): (&UnverifiedStatement, &[[u8; 32]]),
    signed: Signed<'_>,
) -> Result<Vec<Violation>, ApplyError> {
    let header = statement.header();
    let case = Case {
        statement,
        index: view.next,
        time: view.now,
        attachments,
    };
    let at = position(view.registry, view.next)?;
    let mut found = match judge_signed(view.rows, at, (&case, signed))? {
        Judgement::Accepted(_) => return Ok(Vec::new()),
        Judgement::Refused(found) => found,
    };
    let links = header.links.iter().map(|link| link.target);
    let versions = header.revision.map_or(Vec::new(), |revision| {
        vec![revision.entity, revision.previous]
    });
    let is_coming = |id: &EntryId| -> Result<bool, ApplyError> {
        Ok(view.companions.contains(id) && logged_at(view.rows, *id)?.is_none())
    };
    let mut coming = Vec::new();
    for id in links.chain(versions.iter().copied()) {
        if is_coming(&id)? {
            coming.push(id);
        }
    }
    let follows = versions.iter().any(|version| coming.contains(version));
    let links_to_coming = header
        .links
        .iter()
        .any(|link| coming.contains(&link.target));
    let open = match kind_of(view, header)? {
        Some(kind) => guards_that_may_change(view, (kind, header), links_to_coming)?,
        None => Vec::new(),
    };
    let coming: Vec<String> = coming.iter().map(ToString::to_string).collect();
    found.retain(|violation| match violation.reason {
        Reason::MissingLinkTarget => violation
            .found
            .as_ref()
            .is_none_or(|found| !coming.contains(found)),
        Reason::VersionConflict | Reason::InvalidTransition => !follows,
        Reason::GuardFailed => !follows && !open.iter().any(|guard| guard.is_behind(violation)),
        _ => true,
    });
    Ok(found)
}

fn kind_of<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    header: &Header,
) -> Result<Option<&'static Kind>, ApplyError> {
    let bundle = rules_at(view.registry, view.next)?;
    let content = &header.content_type;
    Ok(bundle.kind(content.kind(), content.version()).ok())
}

/// The guards of the state that a companion may still satisfy: what the statement links to is not
/// logged yet, or what links to its entity.
fn guards_that_may_change<R: Rows + ?Sized>(
    view: &DoorView<'_, R>,
    (kind, header): (&'static Kind, &Header),
    links_to_coming: bool,
) -> Result<Vec<&'static Guard>, ApplyError> {
    let mut open = Vec::new();
    let state = header.transition.as_deref().unwrap_or_default();
    for guard in kind.life_cycle().guards_of(state) {
        let may_change = match &guard.need {
            Need::Person | Need::OtherThan(_) => false,
            Need::Links(_) => links_to_coming,
            Need::Linking(need) => {
                let mut is_new = false;
                for id in view.companions.linking((&need.kind, &need.relation)) {
                    is_new |= logged_at(view.rows, id)?.is_none();
                }
                is_new
            }
        };
        if may_change {
            open.push(guard);
        }
    }
    Ok(open)
}

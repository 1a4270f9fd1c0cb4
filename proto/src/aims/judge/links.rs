//! The links of a statement: where they lead, and who links to whom behind it.

use std::collections::BTreeSet;

use super::{Logged, Reach, Version, kind_text};
use crate::aims::bundle::RuleBundle;
use crate::aims::entity::{CountedLink, Entity, Linking};
use crate::aims::kind::Kind;
use crate::limits::LINKING_STANDINGS_MAX;
use crate::reason::{Reason, Violation};
use crate::statement::{EntryId, Header};

/// Links within this log lead to entries of the same organisation and of an allowed kind: those that
/// do. An entry of somebody else is reported as missing: nobody learns what others have logged.
pub(super) fn check_links<'a, L: Logged>(
    logged: &L,
    (organization, header, kind): (&str, &'a Header, &Kind),
    violations: &mut Vec<Violation>,
) -> Result<Vec<(&'a str, EntryId)>, L::Error> {
    let mut good = Vec::new();
    for link in header.links.iter().filter(|link| link.origin.is_none()) {
        let target = logged.target(link.target)?;
        if let Some(target) = target.filter(|target| target.organization == organization) {
            match kind.check_link(&link.relation, &target.kind) {
                Ok(()) => good.push((link.relation.as_str(), link.target)),
                Err(violation) => violations.push(violation),
            }
        } else {
            violations.extend(kind.check_relation(&link.relation).err());
            let rule = "the target of a link is an earlier entry of the organisation";
            violations.push(
                Violation::new(Reason::MissingLinkTarget, "header.links", rule).found(link.target),
            );
        }
    }
    Ok(good)
}

/// The entities behind those links that guards look at, here or where they lead. An entity is no
/// witness for itself.
pub(super) fn resolve<'a, L: Logged>(
    logged: &L,
    (bundle, own): (&RuleBundle, EntryId),
    (version, reach, links): (&Version<'_>, &Reach, Vec<(&'a str, EntryId)>),
) -> Result<Vec<(&'a str, EntryId)>, L::Error> {
    let name = kind_text(&version.header.content_type);
    let mut found = BTreeSet::new();
    for (relation, entry) in links {
        let is_asked = version.kind.is_some_and(|kind| {
            reach.is_move && kind.life_cycle().asks_for_link(&reach.state, relation)
        });
        if !is_asked && !bundle.is_counted((&name, relation)) {
            continue;
        }
        if let Some(entity) = logged.entity_of(entry)?.filter(|entity| *entity != own) {
            found.insert((relation, entity));
        }
    }
    Ok(found.into_iter().collect())
}

/// Who links to others behind the statement, where that changes.
pub(super) fn count<L: Logged>(
    logged: &L,
    (before, after): (Option<&Entity>, &Entity),
    found: &mut Vec<Violation>,
) -> Result<Vec<(CountedLink, Linking)>, L::Error> {
    let mut changed = Vec::new();
    for shift in Entity::shifts(before, after) {
        let link = &shift.link;
        let by = (after.kind.as_str(), link.relation.as_str());
        let mut linking = logged.linking(link.target, by)?;
        linking.shift(&shift);
        if linking.iter().len() > LINKING_STANDINGS_MAX {
            let rule = format!(
                "those that link to one entity with one relation stand in at most \
                 {LINKING_STANDINGS_MAX} ways: in a state, signed in others by who brought it there"
            );
            found.push(
                Violation::new(Reason::InvalidHeader, "header.links", rule).found(link.target),
            );
        }
        changed.push((shift.link, linking));
    }
    Ok(changed)
}

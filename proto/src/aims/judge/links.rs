//! The links of a statement: where they lead, and who links to whom behind it.

use std::collections::BTreeMap;

use super::{Logged, Reach, Version, kind_text};
use crate::aims::bundle::RuleBundle;
use crate::aims::entity::{Entity, EntityLink, Linking};
use crate::aims::kind::Kind;
use crate::aims::lifecycle::Linked;
use crate::limits::LINKING_STANDINGS_MAX;
use crate::reason::{Reason, Violation};
use crate::statement::{EntryId, Header};

/// Links within this log lead to entries of the same organisation and of an allowed kind: the entities
/// behind those that do. An entry of somebody else is reported as missing: nobody learns what others
/// have logged.
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
                Ok(()) => good.extend(target.entity.map(|it| (link.relation.as_str(), it))),
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
pub(super) fn resolve<L: Logged>(
    logged: &L,
    (bundle, own): (&RuleBundle, EntryId),
    (version, before, reach): (&Version<'_>, Option<&Entity>, &Reach),
    links: Vec<(&str, EntryId)>,
) -> Result<Vec<Linked>, L::Error> {
    let name = kind_text(&version.header.content_type);
    let mut found: Vec<Linked> = Vec::new();
    for (relation, target) in links {
        let is_asked = version
            .kind
            .is_some_and(|kind| kind.life_cycle().asks_for_link(&reach.state, relation));
        let is_counted = bundle.is_counted((&name, relation));
        if !(is_asked || is_counted) || target == own {
            continue;
        }
        let relation = relation.to_owned();
        let link = EntityLink { relation, target };
        if !found.iter().any(|one| one.link == link)
            && let Some(entity) = logged.entity(target)?
        {
            let is_counted_already = before.is_some_and(|before| before.links.contains_key(&link));
            found.push(Linked {
                link,
                entity,
                counts_anew: is_counted && !is_counted_already,
            });
        }
    }
    Ok(found)
}

/// A link that would be counted for another system than it is about is refused: what is about one system
/// is no witness for another, and whoever logs it would not hear that it counts for nothing.
fn check_about((bundle, version): (&RuleBundle, &Version<'_>), links: &[Linked]) -> Vec<Violation> {
    let name = kind_text(&version.header.content_type);
    let subject = &version.header.subject;
    let counted = links
        .iter()
        .filter(|one| bundle.is_counted((&name, &one.link.relation)));
    let astray = counted.filter(|one| !one.entity.is_about(subject));
    let refused = astray.map(|one| {
        let rule = format!(
            "a link {} leads to a record about the same system, or about the management system: what it \
             leads to counts on it",
            one.link.relation
        );
        Violation::new(Reason::HeaderMismatch, "header.links", rule)
            .found(&one.entity.subject)
            .nearest(subject.clone())
    });
    refused.collect()
}

/// What is wrong with the links by which others count on the record. Who takes a record back takes it
/// back with all its links.
pub(super) fn check_counted(
    bundle: &RuleBundle,
    (version, before): (&Version<'_>, Option<&Entity>),
    (links, counted): (&[Linked], &BTreeMap<EntityLink, u32>),
) -> Vec<Violation> {
    if version.header.is_retraction() {
        return Vec::new();
    }
    let mut found = check_about((bundle, version), links);
    found.extend(before.and_then(|before| check_kept(bundle, (before, counted))));
    found
}

/// Those links by which guards of their targets count. What is about another system than its target is
/// no witness for it.
pub(super) fn counted(
    bundle: &RuleBundle,
    (version, before, reach): (&Version<'_>, Option<&Entity>, &Reach),
    links: &[Linked],
) -> BTreeMap<EntityLink, u32> {
    let name = kind_text(&version.header.content_type);
    let staying = before.filter(|_| !reach.is_move);
    let counted = links.iter().filter(|one| {
        bundle.is_counted((&name, &one.link.relation))
            && one.entity.is_about(&version.header.subject)
    });
    let counted = counted.map(|one| {
        let round = match staying {
            None => one.entity.round,
            // What came into its state before it linked there did so in no later round.
            Some(before) => before.links.get(&one.link).copied().unwrap_or_default(),
        };
        (one.link.clone(), round)
    });
    counted.collect()
}

/// A later version keeps the links by which others count on it under the active rules: who wants out
/// takes the record back, which everybody sees.
fn check_kept(
    bundle: &RuleBundle,
    (before, next): (&Entity, &BTreeMap<EntityLink, u32>),
) -> Option<Violation> {
    let mut dropped = before.dropped_links(next);
    let dropped = dropped.find(|link| bundle.is_counted((&before.kind, &link.relation)))?;
    let rule = format!(
        "a later version still has the link {} of the one before, because what it leads to counts on it; \
         what does not belong there is retracted",
        dropped.relation
    );
    let violation = Violation::new(Reason::InvalidHeader, "header.links", rule);
    Some(violation.nearest(dropped.target.to_string()))
}

/// Who links to others behind the statement, where that changes.
pub(super) fn count<L: Logged>(
    logged: &L,
    (before, after): (Option<&Entity>, &Entity),
    found: &mut Vec<Violation>,
) -> Result<Vec<(EntityLink, Linking)>, L::Error> {
    let mut changed = Vec::new();
    for shift in Entity::shifts(before, after) {
        let link = &shift.link;
        let by = (after.kind.as_str(), link.relation.as_str());
        let mut linking = logged.linking(link.target, by)?;
        linking.shift(&shift);
        if linking.iter().len() > LINKING_STANDINGS_MAX {
            let rule = format!(
                "those that link to one entity with one relation stand in at most \
                 {LINKING_STANDINGS_MAX} ways: in a state, signed in others by who brought them there, \
                 before or after the entity began again; what does not belong there is retracted"
            );
            found.push(
                Violation::new(Reason::InvalidHeader, "header.links", rule).found(link.target),
            );
        }
        changed.push((shift.link, linking));
    }
    Ok(changed)
}

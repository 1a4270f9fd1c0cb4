//! Which entity a version continues, and the state that it reaches.

use super::{Logged, kind_text};
use crate::aims::entity::Entity;
use crate::aims::kind::Kind;
use crate::reason::{Reason, Violation};
use crate::statement::Header;
use crate::statement::header::Revision;

/// The state that a version reaches.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Empty where the kind has none.
    pub(super) state: String,
    /// It may follow the one before.
    pub(super) is_allowed: bool,
    /// The one before was another.
    pub(super) is_move: bool,
}

impl Reach {
    /// The state whose guards are judged, where it is known which entity that is. Whoever may sign it in
    /// this state may take it back.
    pub(super) fn guarded(&self, header: &Header, before: Option<&Entity>) -> Option<&str> {
        let is_known = match &header.revision {
            None => true,
            Some(_) => before.is_some_and(|entity| entity.kind == kind_text(&header.content_type)),
        };
        let is_judged = self.is_allowed && is_known && !header.is_retraction();
        is_judged.then_some(self.state.as_str())
    }
}

/// The entity that the statement continues, if it may.
pub(super) fn find_entity<L: Logged>(
    logged: &L,
    (organization, header, revision): (&str, &Header, &Revision),
    violations: &mut Vec<Violation>,
) -> Result<Option<Entity>, L::Error> {
    let entity = logged.entity(revision.entity)?;
    let Some(entity) = entity.filter(|entity| entity.organization == organization) else {
        let rule = "the entity is the first version of a record of the organisation";
        violations.push(
            Violation::new(Reason::MissingLinkTarget, "header.entity", rule).found(revision.entity),
        );
        return Ok(None);
    };
    let kind = kind_text(&header.content_type);
    if entity.kind != kind {
        let rule = "a version is of the kind of its entity";
        violations.push(
            Violation::new(Reason::HeaderMismatch, "header.content_type", rule)
                .found(kind)
                .nearest(entity.kind.clone()),
        );
    } else if header.content_type.version() < entity.kind_version {
        let rule = "a later version is not of an older version of the kind than the one before";
        violations.push(
            Violation::new(Reason::HeaderMismatch, "header.content_type", rule)
                .found(format!("{kind} version {}", header.content_type.version()))
                .nearest(format!("{kind} version {}", entity.kind_version)),
        );
    }
    if entity.subject != header.subject {
        let rule = "a version is about what its entity is about";
        violations.push(
            Violation::new(Reason::HeaderMismatch, "header.sub", rule)
                .found(&header.subject)
                .nearest(entity.subject.clone()),
        );
    }
    if entity.newest != revision.previous {
        let rule = "previous is the newest version of the entity";
        violations.push(
            Violation::new(Reason::VersionConflict, "header.previous", rule)
                .found(revision.previous)
                .nearest(entity.newest.to_string()),
        );
    }
    if entity.retracted {
        let rule = "a retracted record has no further versions";
        violations.push(Violation::new(
            Reason::InvalidTransition,
            "header.change",
            rule,
        ));
    }
    Ok(Some(entity))
}

/// The state that the entity reaches.
pub(super) fn reach_state(
    kind: &Kind,
    header: &Header,
    entity: Option<&Entity>,
    violations: &mut Vec<Violation>,
) -> Reach {
    let from = entity
        .map(|entity| entity.state.as_str())
        .filter(|state| !state.is_empty());
    let Some(to) = &header.transition else {
        if kind.status_field().is_some() {
            let rule = "the header names the state that the record is in";
            violations.push(Violation::new(
                Reason::MissingHeader,
                "header.transition",
                rule,
            ));
        }
        return Reach {
            state: from.unwrap_or_default().to_owned(),
            // It stays, and is held to what is asked of those that stay.
            is_allowed: kind.status_field().is_none(),
            is_move: false,
        };
    };
    let is_move = from != Some(to.as_str());
    let mut moved = kind.check_transition(from, to);
    if let Some(from) = from.filter(|_| moved.is_ok() && is_move && header.is_retraction()) {
        let rule = "a record is retracted in the state that it is in";
        let violation = Violation::new(Reason::InvalidTransition, "header.transition", rule);
        moved = Err(violation.found(to).nearest(from));
    }
    let is_allowed = moved.is_ok();
    violations.extend(moved.err());
    Reach {
        state: to.clone(),
        is_allowed,
        is_move,
    }
}

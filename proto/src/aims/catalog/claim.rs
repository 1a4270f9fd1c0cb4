//! A control as somebody names it, and what it is.

use super::{Catalogue, Control, RelationKind, is_own_id};
use crate::aims::nearest::nearest;
use crate::reason::{Reason, Violation};

/// Most ids that a refusal names as standing beside the one that was meant.
const BESIDE_MAX: usize = 12;

/// A control as a header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlClaim<'a> {
    /// Name of the scheme.
    pub scheme: &'a str,
    /// Id within the scheme.
    pub id: &'a str,
}

/// What a claim becomes in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved<'s> {
    /// It stands there as it is. No control where the scheme has no catalogue here.
    Real(Option<&'s Control>),
    /// It stands for the controls that this one relates to.
    Alias(&'s Control),
}

impl Catalogue {
    /// The control with this id; refuses another id with the nearest one, and with what stands beside
    /// it.
    pub fn check(&self, field: &str, id: &str) -> Result<&Control, Violation> {
        if let Some(control) = self.control(id) {
            return Ok(control);
        }
        let mut rule = format!("the control stands in the catalogue of {}", self.scheme());
        if let Some(parent) = parent(id) {
            let beside = self.beneath(parent);
            if !beside.is_empty() {
                let shown = &beside[..beside.len().min(BESIDE_MAX)];
                let more = match beside.len() - shown.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                rule = format!("{rule}; under {parent} it has {}{more}", shown.join(", "));
            }
        }
        let violation = Violation::new(Reason::UnknownControl, field, rule).found(id);
        Err(match self.near(id).first() {
            Some(near) => violation.nearest(near.id.as_str()),
            None => violation,
        })
    }

    /// Up to three controls whose ids are near this one, the nearest first. Ids that share more leading
    /// parts are nearer than ids that share more letters: `A.9.5` is near `A.9.4`, not `A.4.5`.
    pub fn near(&self, id: &str) -> Vec<&Control> {
        const NEAR_MAX: usize = 3;
        let children = format!("{id}.");
        let mut near: Vec<&Control> = Vec::new();
        let beneath = self.controls().iter();
        near.extend(beneath.filter(|control| control.id.starts_with(&children)));
        let siblings: Vec<&Control> = match parent(id) {
            Some(above) => {
                let siblings = self.controls().iter().rev();
                siblings
                    .filter(|control| parent(&control.id) == Some(above))
                    .collect()
            }
            None => Vec::new(),
        };
        let ids = |controls: &[&Control]| -> Vec<String> {
            controls.iter().map(|control| control.id.clone()).collect()
        };
        let sibling_ids = ids(&siblings);
        let closest = nearest(id, sibling_ids.iter().map(String::as_str));
        near.extend(closest.and_then(|id| self.control(id)));
        near.extend(siblings);
        // Annexes of guidance have the numbers of the annex that they are about.
        let (annex, number) = id.split_once('.').unwrap_or((id, ""));
        if near.is_empty() && annex.len() == 1 {
            near.extend(self.control(&format!("A.{number}")));
        }
        if near.is_empty() {
            let chapter = id.split('.').next();
            let controls = self.controls().iter();
            let same: Vec<&Control> = controls
                .filter(|control| control.id.split('.').next() == chapter)
                .collect();
            let all = if same.is_empty() {
                ids(&self.controls().iter().collect::<Vec<_>>())
            } else {
                ids(&same)
            };
            let closest = nearest(id, all.iter().map(String::as_str));
            near.extend(closest.and_then(|id| self.control(id)));
            near.extend(same);
        }
        let mut seen = std::collections::BTreeSet::new();
        near.retain(|control| seen.insert(&control.id));
        near.truncate(NEAR_MAX);
        near
    }

    /// The controls that are written so: by id, or else by another spelling. Letter case, spaces,
    /// hyphens and the forms `Article 73(2)` and `Art.73.2` make no difference.
    pub fn spelled(&self, text: &str) -> Vec<&Control> {
        if let Some(control) = self.control(text) {
            return vec![control];
        }
        let folded = fold(text);
        let mut controls: Vec<&Control> = self
            .controls()
            .iter()
            .filter(|control| fold(&control.id) == folded)
            .collect();
        if controls.is_empty() {
            let also = |control: &&Control| control.also.iter().any(|also| fold(also) == folded);
            controls = self.controls().iter().filter(also).collect();
        }
        let words = ["clause", "control", "annex", "section"];
        let bare = words.iter().find_map(|word| folded.strip_prefix(word));
        match bare {
            Some(bare) if controls.is_empty() && !bare.is_empty() => self.spelled(bare),
            _ => controls,
        }
    }

    /// The control of an alias scheme that is written so; refuses what is none, or more than one.
    pub(super) fn alias(&self, field: &str, id: &str) -> Result<&Control, Violation> {
        match self.spelled(id).as_slice() {
            [] => self.check(field, id),
            [one] => Ok(one),
            [first, others @ ..] => {
                let ids: Vec<&str> = others.iter().map(|control| control.id.as_str()).collect();
                let rule = format!(
                    "in {} this is {} or {}: name the one that is meant",
                    self.scheme(),
                    first.id,
                    ids.join(" or ")
                );
                let violation = Violation::new(Reason::UnknownControl, field, rule).found(id);
                Err(violation.nearest(format!("{}/{}", self.scheme(), first.id)))
            }
        }
    }

    /// Ids directly beneath this one.
    fn beneath(&self, above: &str) -> Vec<&str> {
        let ids = self.controls().iter().map(|control| control.id.as_str());
        ids.filter(|id| parent(id) == Some(above)).collect()
    }
}

impl Control {
    /// The controls that it stands for, as `scheme/id`: the nearest in meaning first.
    pub fn stands_for(&self) -> Vec<String> {
        let mut relations: Vec<_> = self.relates.iter().collect();
        relations.sort_by_key(|relation| relation.relation == RelationKind::Intersects);
        let names = relations.into_iter();
        names
            .map(|relation| format!("{}/{}", relation.scheme, relation.id))
            .collect()
    }
}

/// Checks an id of a scheme without a catalogue.
pub(crate) fn check_own_id(field: &str, id: &str) -> Result<(), Violation> {
    if is_own_id(id) {
        return Ok(());
    }
    let rule =
        "an own control id is a letter or digit and up to 62 of letters, digits, `.`, `_`, `-`";
    Err(Violation::new(Reason::UnknownControl, field, rule).found(id))
}

fn parent(id: &str) -> Option<&str> {
    id.rsplit_once('.').map(|(parent, _)| parent)
}

/// The same for all ways to write an id.
fn fold(text: &str) -> String {
    let text = text.to_lowercase().replace("article", "art");
    let text = text.replace("art.", "art").replace('(', ".");
    text.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | ')'))
        .collect()
}

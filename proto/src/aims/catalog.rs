//! Controls: what a record says it is evidence for.

use super::nearest::nearest;
use crate::reason::{Reason, Violation};
use std::collections::BTreeMap;

/// One control of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Id within its scheme, for example `A.9.2`.
    pub id: String,
    /// Short title.
    pub title: String,
    /// Names of the kinds that evidence it, also of kinds that the bundle only reserves.
    pub kinds: Vec<String>,
}

/// A scheme of control ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    /// Name in claims, for example `iso42001-2023`.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Its controls in their own order; `None` where every well-formed id is accepted.
    pub controls: Option<Vec<Control>>,
}

/// All schemes of a rule bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schemes(BTreeMap<String, Scheme>);

impl Schemes {
    pub(crate) fn new(schemes: impl IntoIterator<Item = Scheme>) -> Self {
        Self(
            schemes
                .into_iter()
                .map(|scheme| (scheme.name.clone(), scheme))
                .collect(),
        )
    }

    /// The scheme with this name.
    pub fn scheme(&self, name: &str) -> Option<&Scheme> {
        self.0.get(name)
    }

    /// All schemes, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Scheme> {
        self.0.values()
    }

    /// The control that a claim names; `None` for a well-formed id of a scheme without a catalogue.
    /// `field` is where the claim stands, for the message. Refuses an unknown scheme or id, with
    /// the nearest known one.
    pub fn check(
        &self,
        field: &str,
        claim: ControlClaim<'_>,
    ) -> Result<Option<&Control>, Violation> {
        let Some(scheme) = self.0.get(claim.scheme) else {
            let rule = "the scheme of a control is one that the rule bundle names";
            let violation =
                Violation::new(Reason::UnknownCatalogue, field, rule).found(claim.scheme);
            return Err(suggest(
                violation,
                nearest(claim.scheme, self.0.keys().map(String::as_str)),
            ));
        };
        let Some(controls) = &scheme.controls else {
            if is_own_id(claim.id) {
                return Ok(None);
            }
            let rule = "an own control id is a letter or digit and up to 62 of letters, digits, `.`, `_`, `-`";
            return Err(Violation::new(Reason::UnknownControl, field, rule).found(claim.id));
        };
        if let Some(control) = controls.iter().find(|control| control.id == claim.id) {
            return Ok(Some(control));
        }
        let rule = format!("the control stands in the catalogue of {}", scheme.name);
        let violation = Violation::new(Reason::UnknownControl, field, rule).found(claim.id);
        Err(suggest(violation, nearest_control(claim.id, controls)))
    }
}

/// A control as a header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlClaim<'a> {
    /// Name of the scheme.
    pub scheme: &'a str,
    /// Id within the scheme.
    pub id: &'a str,
}

/// Numbers that share more leading parts are nearer than numbers that share more letters:
/// `A.9.5` is near `A.9.4`, not `A.4.5`.
fn nearest_control<'a>(id: &str, controls: &'a [Control]) -> Option<&'a str> {
    let parent = |id: &str| id.rsplit_once('.').map(|(parent, _)| parent.to_owned());
    let siblings: Vec<&str> = controls
        .iter()
        .filter(|control| parent(&control.id).is_some() && parent(&control.id) == parent(id))
        .map(|control| control.id.as_str())
        .collect();
    let children = format!("{id}.");
    controls
        .iter()
        .map(|control| control.id.as_str())
        .find(|other| other.starts_with(&children))
        .or_else(|| nearest(id, siblings.iter().rev().copied()))
        .or_else(|| nearest(id, controls.iter().map(|control| control.id.as_str())))
}

fn is_own_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && id.len() <= 63
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn suggest(violation: Violation, nearest: Option<&str>) -> Violation {
    match nearest {
        Some(nearest) => violation.nearest(nearest),
        None => violation,
    }
}

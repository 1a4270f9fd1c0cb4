//! All schemes of control ids that somebody knows: those of a rule bundle, and what was brought along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claim::check_own_id;
use super::{Catalogue, CatalogueError, Control, ControlClaim, Resolved};
use crate::aims::nearest::nearest;
use crate::reason::{Reason, Violation};

/// A scheme of control ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    /// Name in claims, for example `iso42001-2023`.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Its catalogue; `None` where every well-formed id is accepted.
    pub catalogue: Option<Arc<Catalogue>>,
}

impl Scheme {
    /// The scheme of a catalogue.
    pub fn of(catalogue: Catalogue) -> Self {
        Self {
            name: catalogue.parts().scheme.clone(),
            title: catalogue.parts().title.clone(),
            catalogue: Some(Arc::new(catalogue)),
        }
    }
}

/// Schemes by name.
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

    /// The same with one catalogue more; refuses one of a scheme that has a catalogue already.
    pub fn with(&self, catalogue: Catalogue) -> Result<Self, CatalogueError> {
        let known = self.catalogue(catalogue.scheme());
        if known.is_some() {
            return Err(CatalogueError::Value {
                place: "scheme".to_owned(),
                rule: "a scheme that has no catalogue yet",
                found: catalogue.scheme().to_owned(),
            });
        }
        let mut schemes = self.clone();
        let scheme = Scheme::of(catalogue);
        schemes.0.insert(scheme.name.clone(), scheme);
        Ok(schemes)
    }

    /// The scheme with this name.
    pub fn scheme(&self, name: &str) -> Option<&Scheme> {
        self.0.get(name)
    }

    /// The catalogue of the scheme with this name, if both are there.
    pub fn catalogue(&self, name: &str) -> Option<&Catalogue> {
        self.scheme(name)?.catalogue.as_deref()
    }

    /// All schemes, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Scheme> {
        self.0.values()
    }

    /// All catalogues, by name of their scheme.
    pub fn catalogues(&self) -> impl Iterator<Item = &Catalogue> {
        self.iter().filter_map(|scheme| scheme.catalogue.as_deref())
    }

    /// The control that a claim names; `None` for a well-formed id of a scheme without a catalogue.
    /// `field` is where the claim stands, for the message. Refuses an unknown scheme or id with the
    /// nearest known one, and an id that stands for others with those.
    pub fn check(
        &self,
        field: &str,
        claim: ControlClaim<'_>,
    ) -> Result<Option<&Control>, Violation> {
        match self.resolve(field, claim)? {
            Resolved::Real(control) => Ok(control),
            Resolved::Alias(control) => {
                let names = control.stands_for();
                let rule = format!(
                    "no record names an id of {}; {} ({}) stands for {}",
                    claim.scheme,
                    control.id,
                    control.title,
                    names.join(", ")
                );
                let violation = Violation::new(Reason::UnknownControl, field, rule)
                    .found(format!("{}/{}", claim.scheme, claim.id));
                Err(suggest(violation, names.first().map(String::as_str)))
            }
        }
    }

    /// What a claim becomes in a header: itself, or the controls that it stands for. Refuses what
    /// [`Schemes::check`] refuses, but for aliases.
    pub fn resolve(&self, field: &str, claim: ControlClaim<'_>) -> Result<Resolved<'_>, Violation> {
        let Some(scheme) = self.0.get(claim.scheme) else {
            return Err(self.unknown(field, claim.scheme));
        };
        let Some(catalogue) = &scheme.catalogue else {
            check_own_id(field, claim.id)?;
            return Ok(Resolved::Real(None));
        };
        if catalogue.parts().aliases {
            return catalogue.alias(field, claim.id).map(Resolved::Alias);
        }
        let found = catalogue.check(field, claim.id);
        let control = found.map_err(|violation| self.meant_otherwise(violation, claim))?;
        Ok(Resolved::Real(Some(control)))
    }

    /// Whether a name is that of a scheme with a catalogue here, whose ids can be judged without
    /// knowing what an organisation has declared.
    pub fn is_closed(&self, name: &str) -> bool {
        self.catalogue(name).is_some()
    }

    /// The refusal of a scheme that nobody knows.
    pub fn unknown(&self, field: &str, scheme: &str) -> Violation {
        let rule = "the scheme of a control is one of the rule bundle, or one whose catalogue the \
                    organisation has logged";
        let violation = Violation::new(Reason::UnknownCatalogue, field, rule).found(scheme);
        suggest(
            violation,
            nearest(scheme, self.0.keys().map(String::as_str)),
        )
    }

    /// What a catalogue says of things that are not there: kinds, and controls of these schemes. One
    /// after the other, so that whoever needs a few pays for a few.
    pub(crate) fn check_catalogue<'c>(
        &'c self,
        field: &'c str,
        catalogue: &'c Catalogue,
        kinds: &'c BTreeSet<String>,
    ) -> impl Iterator<Item = Violation> + 'c {
        let controls = catalogue.controls().iter();
        controls.flat_map(move |control| {
            let place = format!("{field}.{}", control.id);
            let at = place.clone();
            let unknown = control.kinds.iter().filter(|kind| !kinds.contains(*kind));
            let unknown = unknown.map(move |kind| {
                let rule = "a kind that evidences a control is one of the rule bundle";
                let violation = Violation::new(Reason::UnknownKind, &at, rule).found(kind);
                let near = nearest(kind, kinds.iter().map(String::as_str));
                suggest(violation, near)
            });
            let relations = control.relates.iter().filter_map(move |relation| {
                let (scheme, id) = (&relation.scheme, &relation.id);
                let claim = ControlClaim { scheme, id };
                self.check(&place, claim).err()
            });
            unknown.chain(relations)
        })
    }

    /// Adds what the id is in a scheme of aliases: whoever writes 8.6 has read it there.
    fn meant_otherwise(&self, violation: Violation, claim: ControlClaim<'_>) -> Violation {
        let aliases = self.catalogues().filter(|other| other.parts().aliases);
        let mut rule = violation.rule.clone();
        for alias in aliases {
            for control in alias.spelled(claim.id) {
                let names = control.stands_for();
                rule = format!(
                    "{rule}; as an id of {} it is {} and stands for {}",
                    alias.scheme(),
                    control.title,
                    names.join(", ")
                );
            }
        }
        violation.with_rule(rule)
    }
}

fn suggest(violation: Violation, nearest: Option<&str>) -> Violation {
    match nearest {
        Some(nearest) => violation.nearest(nearest),
        None => violation,
    }
}

//! Looking an id up: which controls it is, what they relate to, and what relates to them.

use super::{Catalogue, Control, RelationKind, Schemes};

/// A control that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'s> {
    /// The catalogue that has it.
    pub catalogue: &'s Catalogue,
    /// The control.
    pub control: &'s Control,
    /// What it relates to, in the order of the catalogue.
    pub relates: Vec<Related<'s>>,
    /// What relates to it, by scheme.
    pub related_by: Vec<Related<'s>>,
}

/// The other end of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related<'s> {
    /// Which relation; said of the one that has it.
    pub relation: RelationKind,
    /// The other scheme.
    pub scheme: &'s str,
    /// The id there.
    pub id: &'s str,
    /// The control itself, where its catalogue is known.
    pub control: Option<&'s Control>,
}

/// An id that a scheme does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown<'s> {
    /// The nearest ids of the scheme, the nearest first.
    pub near: Vec<Near<'s>>,
    /// What is written so in other schemes.
    pub elsewhere: Vec<Near<'s>>,
}

/// A control that may have been meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near<'s> {
    /// Its scheme.
    pub scheme: &'s str,
    /// The control.
    pub control: &'s Control,
}

impl Schemes {
    /// The controls of a catalogue that are written so; more than one where they share a spelling.
    pub fn lookup<'s>(
        &'s self,
        catalogue: &'s Catalogue,
        text: &str,
    ) -> Result<Vec<Answer<'s>>, Unknown<'s>> {
        let found = catalogue.spelled(text);
        if found.is_empty() {
            return Err(Unknown {
                near: of(catalogue, catalogue.near(text)),
                elsewhere: self.written_elsewhere(catalogue, text),
            });
        }
        let answers = found.into_iter();
        Ok(answers
            .map(|control| self.answer(catalogue, control))
            .collect())
    }

    /// What is written so in other catalogues than this one.
    pub fn written_elsewhere<'s>(&'s self, here: &Catalogue, text: &str) -> Vec<Near<'s>> {
        let others = self.catalogues();
        let others = others.filter(|other| other.scheme() != here.scheme());
        others
            .flat_map(|other| of(other, other.spelled(text)))
            .collect()
    }

    fn answer<'s>(&'s self, catalogue: &'s Catalogue, control: &'s Control) -> Answer<'s> {
        let relates = control.relates.iter().map(|relation| Related {
            relation: relation.relation,
            scheme: &relation.scheme,
            id: &relation.id,
            control: self
                .catalogue(&relation.scheme)
                .and_then(|other| other.control(&relation.id)),
        });
        Answer {
            catalogue,
            control,
            relates: relates.collect(),
            related_by: self.related_by(catalogue.scheme(), &control.id),
        }
    }

    /// The controls of all catalogues that relate to this one.
    fn related_by(&self, scheme: &str, id: &str) -> Vec<Related<'_>> {
        let mut found = Vec::new();
        for other in self.catalogues() {
            for control in other.controls() {
                let mut relations = control.relates.iter();
                let relation = relations.find(|one| one.scheme == scheme && one.id == id);
                found.extend(relation.map(|relation| Related {
                    relation: relation.relation,
                    scheme: other.scheme(),
                    id: &control.id,
                    control: Some(control),
                }));
            }
        }
        found
    }
}

fn of<'s>(catalogue: &'s Catalogue, controls: Vec<&'s Control>) -> Vec<Near<'s>> {
    let scheme = catalogue.scheme();
    let controls = controls.into_iter();
    controls.map(|control| Near { scheme, control }).collect()
}

//! The controls of a submission: as they are written, and as a header names them.

use std::collections::BTreeSet;

use super::{Alias, Taker};
use crate::aims::bundle::parse_hex;
use crate::aims::catalog::{ControlClaim, DEFAULT_SCHEME, Resolved, Schemes, check_own_id};
use crate::aims::cited;
use crate::aims::kind::Kind;
use crate::aims::record::Record;
use crate::reason::{Reason, Violation};
use crate::statement::header::{CatalogRef, ControlRef, is_word};
use crate::statement::json::Json;

/// The controls of a record, as a header names them.
#[derive(Default)]
pub(super) struct Controls {
    pub(super) refs: Vec<ControlRef>,
    pub(super) aliases: Vec<Alias>,
    pub(super) catalogues: Vec<CatalogRef>,
    /// Schemes of catalogues that the organisation has logged; what they hold is the ledger's to know.
    logged: BTreeSet<String>,
}

impl Controls {
    /// Adds one that may be there already.
    fn add(&mut self, scheme: &str, id: &str) {
        let (scheme, id) = (scheme.to_owned(), id.to_owned());
        let control = ControlRef { scheme, id };
        if !self.refs.contains(&control) {
            self.refs.push(control);
        }
    }

    /// Adds what the record itself names of schemes that are the organisation's own.
    pub(super) fn add_cited(&mut self, schemes: &Schemes, kind: &Kind, record: &Record) {
        for cited in cited::controls(kind, record.values()) {
            let is_open =
                schemes.scheme(cited.scheme).is_some() && !schemes.is_closed(cited.scheme);
            if is_open || self.logged.contains(cited.scheme) {
                self.add(cited.scheme, cited.id);
            }
        }
    }

    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let pairs = self.refs.iter();
        pairs
            .map(|control| (control.scheme.clone(), control.id.clone()))
            .collect()
    }

    /// Takes one as it is written, or refuses it.
    fn take(&mut self, schemes: &Schemes, field: &str, text: &str) -> Result<(), Violation> {
        let (scheme, id) = text.split_once('/').unwrap_or((DEFAULT_SCHEME, text));
        if self.logged.contains(scheme) {
            check_own_id(field, id)?;
            self.add(scheme, id);
            return Ok(());
        }
        match schemes.resolve(field, ControlClaim { scheme, id })? {
            Resolved::Real(_) => self.add(scheme, id),
            Resolved::Alias(control) => {
                for relation in &control.relates {
                    self.add(&relation.scheme, &relation.id);
                }
                self.aliases.push(Alias {
                    given: text.to_owned(),
                    title: control.title.clone(),
                    controls: control.stands_for(),
                });
            }
        }
        Ok(())
    }

    fn take_catalogue(
        &mut self,
        schemes: &Schemes,
        field: &str,
        text: &str,
    ) -> Result<(), Violation> {
        let (scheme, digest) = match text.split_once('@') {
            Some((scheme, digest)) => (scheme, Some(digest)),
            None => (text, None),
        };
        if !is_word(scheme) || schemes.is_closed(scheme) {
            let rule = "the scheme of a catalogue that the organisation has logged";
            return Err(Violation::new(Reason::InvalidRequest, field, rule).found(scheme));
        }
        if let Some(digest) = digest {
            let digest = parse_hex(digest).ok_or_else(|| {
                let rule = "behind `@` stands the digest of the catalogue, 64 hexadecimal digits";
                Violation::new(Reason::InvalidRequest, field, rule).found(digest)
            })?;
            let scheme = scheme.to_owned();
            self.catalogues.push(CatalogRef { scheme, digest });
        }
        self.logged.insert(scheme.to_owned());
        Ok(())
    }
}

/// Reads `meta.catalogues` and `meta.controls`: everything that is wrong is named.
pub(super) fn read_controls(
    meta: &mut Taker,
    schemes: &Schemes,
    found: &mut Vec<Violation>,
) -> Controls {
    let mut controls = Controls::default();
    for (field, text) in texts(meta, "catalogues", found) {
        found.extend(controls.take_catalogue(schemes, &field, &text).err());
    }
    for (field, text) in texts(meta, "controls", found) {
        found.extend(controls.take(schemes, &field, &text).err());
    }
    controls
}

/// The strings of a list, each with where it stands.
fn texts(meta: &mut Taker, name: &str, found: &mut Vec<Violation>) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (index, element) in meta.list(name, found).into_iter().enumerate() {
        let field = format!("meta.{name}[{index}]");
        if let Json::Text(text) = element {
            texts.push((field, text));
        } else {
            let rule = "each of them is a string";
            found.push(Violation::new(Reason::InvalidRequest, field, rule));
        }
    }
    texts
}

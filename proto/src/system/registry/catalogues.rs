//! Catalogues of organisations: which ids of which scheme they take, at a position of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checks::refuse;
use super::record::At;
use super::{Extent, Registry};
use crate::aims::bundle::RuleBundle;
use crate::aims::catalog::Catalogue;
use crate::limits::{CATALOGUE_VERSIONS_MAX, CATALOGUES_MAX};
use crate::reason::{Reason, Violation};
use crate::system::{Controls, OrganizationId};
use crate::tlog::LeafIndex;

/// Most things that are said of one catalogue: a table that is wrong throughout is wrong for one reason.
const FOUND_MAX: usize = 32;

impl Registry {
    /// The catalogue of a scheme that an organisation has declared in front of the entry at `index`, if
    /// it has.
    pub fn catalogue_at(
        &self,
        organization: &OrganizationId,
        scheme: &str,
        index: LeafIndex,
    ) -> Option<&Catalogue> {
        let versions = self.catalogues.get(organization)?.get(scheme)?;
        let before = versions.range(..index).next_back();
        before.map(|(_, catalogue)| catalogue.as_ref())
    }

    /// The newest catalogue of each scheme that the organisation has declared, with the record that did.
    pub fn catalogues_of(
        &self,
        organization: &OrganizationId,
    ) -> impl Iterator<Item = (LeafIndex, &Catalogue)> {
        let schemes = self.catalogues.get(organization).into_iter();
        let newest = schemes.flat_map(|schemes| schemes.values());
        newest
            .filter_map(|versions| versions.last_key_value())
            .map(|(index, catalogue)| (*index, catalogue.as_ref()))
    }

    /// The rules of a program are those of its one bundle, as for who may sign what.
    pub(super) fn check_controls(&self, record: &Controls) -> Vec<Violation> {
        let catalogue = record.catalogue();
        let bundle = RuleBundle::v1();
        let mut found = Vec::new();
        if bundle.schemes().is_closed(catalogue.scheme()) {
            let rule = "a scheme that has no catalogue in the rule bundle";
            let violation = refuse(Reason::InvalidField, "payload.scheme", rule);
            found.push(violation.found(catalogue.scheme()));
        }
        found.extend(self.check_version(record));
        let contradictions = bundle.check_catalogue("payload.controls", catalogue);
        found.extend(contradictions.take(FOUND_MAX));
        found
    }

    fn check_version(&self, record: &Controls) -> Option<Violation> {
        let catalogue = record.catalogue();
        let schemes = self.catalogues.get(record.organization());
        let versions = schemes.and_then(|schemes| schemes.get(catalogue.scheme()));
        let newest = versions.and_then(|versions| versions.last_key_value());
        let next = newest.map_or(1, |(_, newest)| newest.parts().version + 1);
        let number = catalogue.parts().version;
        if self.extent == Extent::Whole && number != next {
            let rule = "the version behind the newest; the first is 1";
            let violation = refuse(Reason::VersionConflict, "payload.version", rule);
            return Some(violation.found(number).nearest(next.to_string()));
        }
        if number > CATALOGUE_VERSIONS_MAX {
            let rule = format!(
                "a catalogue has at most {CATALOGUE_VERSIONS_MAX} versions; go on under another scheme"
            );
            return Some(refuse(Reason::InvalidField, "payload.version", rule).found(number));
        }
        let count = schemes.map_or(0, BTreeMap::len);
        if versions.is_none() && count >= CATALOGUES_MAX {
            let rule = format!("an organisation declares at most {CATALOGUES_MAX} schemes");
            return Some(refuse(Reason::InvalidField, "payload.scheme", rule).found(count));
        }
        None
    }

    pub(super) fn record_controls(&mut self, at: At, record: &Controls) {
        let catalogue = record.catalogue();
        let schemes = self.catalogues.entry(record.organization().clone());
        let versions = schemes.or_default().entry(catalogue.scheme().to_owned());
        let versions = versions.or_default();
        versions.insert(at.index, Arc::new(catalogue.clone()));
    }
}

//! The tables of a kind, for forms and documentation; what decides by them stands beside.

use super::{Kind, WhenRule};

impl Kind {
    /// States that a first version may be in.
    pub fn initial_states(&self) -> &[String] {
        &self.tables.initial
    }

    /// States that may follow this one; staying in it is always allowed.
    pub fn states_after(&self, state: &str) -> &[String] {
        self.tables.moves.get(state).map_or(&[], Vec::as_slice)
    }

    /// Content that values of a field need.
    pub fn content_rules(&self) -> &[WhenRule] {
        &self.tables.when
    }

    /// Pairs of times, the first not after the second.
    pub fn ordered_times(&self) -> &[(String, String)] {
        &self.tables.order
    }

    /// Pairs of fields that never name the same principal.
    pub fn distinct_people(&self) -> &[(String, String)] {
        &self.tables.distinct
    }

    /// The field that names the principal who signs a version in this state.
    pub fn signer_field(&self, state: &str) -> Option<&str> {
        self.tables.signer.get(state).map(String::as_str)
    }
}

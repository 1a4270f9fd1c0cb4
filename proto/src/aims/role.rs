//! Roles of principals: what each may read of its own organisation, and whether it may read others'.
//!
//! Who may append what stands with the kinds ([`Kind::check_signer`]).
//!
//! [`Kind::check_signer`]: super::kind::Kind::check_signer

/// One role that a principal can hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// Name in the registry, for example `process_owner`.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// The disclosures of its own organisation that it may read.
    pub reads: Reads,
    /// Whether it may read under an engagement that another organisation has granted to its own.
    pub engaged: bool,
}

/// Which disclosures of its own organisation somebody may read; the later, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// None.
    None,
    /// What it has signed itself.
    Signed,
    /// All.
    All,
}

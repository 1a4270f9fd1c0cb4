//! Why a bundle cannot be read.

use crate::aims::catalog::CatalogueError;
use crate::aims::schema::SchemaError;
use crate::system::PermissionError;

/// Why the files of a bundle contradict each other: always a mistake in our own data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A file is not the TOML that it must be.
    #[error("{file} does not parse")]
    Toml {
        /// Name of the file.
        file: &'static str,
        /// What the parser says.
        #[source]
        source: toml::de::Error,
    },
    /// A catalogue is not what it must be.
    #[error("{file}")]
    Catalogue {
        /// Name of the file.
        file: &'static str,
        /// What is wrong.
        #[source]
        source: CatalogueError,
    },
    /// A message of a kind cannot be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Who signs which registry statement does not fit the statements.
    #[error("ledger.toml")]
    Permissions(#[from] PermissionError),
    /// A file of the bundle is missing.
    #[error("the file {0} is missing")]
    MissingFile(&'static str),
    /// A name that nothing defines, or a list that differs from its source.
    #[error("{place}: {name:?} is not defined")]
    Undefined {
        /// Where it stands.
        place: String,
        /// The name.
        name: String,
    },
    /// A frozen field list differs from its message.
    #[error("kind {kind}: the field list is {listed:?}, the message says {message:?}")]
    FieldList {
        /// Name of the kind.
        kind: String,
        /// The frozen list.
        listed: Vec<String>,
        /// The fields of the message, in the order of their numbers.
        message: Vec<String>,
    },
    /// A name that is defined twice.
    #[error("{0} is defined twice")]
    Duplicate(String),
    /// A guard that could be walked around, or never be met.
    #[error("guard {id}: {fault}")]
    Guard {
        /// Its name.
        id: String,
        /// What is wrong with it.
        fault: GuardFault,
    },
    /// The digest of a predecessor is not 64 hexadecimal digits.
    #[error("{0:?} is not a digest")]
    MalformedDigest(String),
}

/// Why a guard does not guard, or always refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardFault {
    /// It has no text, guards no state, or asks for nothing.
    #[error("a guard has a name, a rule, states that it guards and something that it needs")]
    Empty,
    /// Who links to an entity is asked when it comes into a state, and never again.
    #[error("`linking` is asked on entry anyway")]
    OnEntry,
    /// What it asks for cannot be there when an entity is opened.
    #[error("an entity may be opened in {0}, where nobody has signed it or links to it yet")]
    Opening(String),
    /// An entity can come into the state without the states whose signers it compares with.
    #[error("{0} can be reached without the states whose signers are compared")]
    Bypass(String),
    /// Whoever is compared signs in the same state.
    #[error("{0} is asked for and compared with at the same time")]
    SameState(String),
    /// What is reached since a state cannot be asked for there, in a first version, or of all.
    #[error(
        "{0} cannot be counted since: the guard leads to it, entities open in it, or all are asked for"
    )]
    Since(String),
}

//! The client of an Aimslog ledger.
//!
//! What this crate returns is verified: heads against the policy and against the heads remembered,
//! proofs against heads, evidence files from end to end and against what was asked for. Of a record the
//! bytes are held against the id, and its fields against what the statement commits to. What cannot be
//! verified says so in its name, with two exceptions, which no call for records can prove: where and
//! when an entry was logged ([`EntryRef`]), and that a list or a [`Watch`] leaves out nothing. Of registers and
//! histories the place of each entry is proven; that it is the newest version, and that nothing is left
//! out, is the service's word as well.
//! Records are read from forms and files in [`form`].
//! Without the feature `transport` nothing here touches the network: [`trust`] and the protocol crate
//! are all that an offline verifier needs.
#![warn(missing_docs)]

#[cfg(feature = "transport")]
pub mod admin;
pub mod author;
pub mod clock;
#[cfg(feature = "transport")]
mod connection;
#[cfg(feature = "transport")]
mod continuity;
#[cfg(feature = "transport")]
mod convert;
#[cfg(feature = "transport")]
mod entries;
pub mod error;
#[cfg(feature = "transport")]
mod evidence;
pub mod file;
#[cfg(feature = "transport")]
mod filter;
mod finished;
pub mod form;
#[cfg(feature = "transport")]
mod history;
#[cfg(feature = "transport")]
mod ledger;
#[cfg(feature = "transport")]
mod page;
#[cfg(feature = "transport")]
mod policies;
#[cfg(feature = "transport")]
mod proofs;
#[cfg(feature = "transport")]
mod record;
#[cfg(feature = "transport")]
mod register;
#[cfg(feature = "transport")]
mod status;
#[cfg(feature = "transport")]
mod submitter;
#[cfg(feature = "transport")]
#[cfg(test)]
mod testing;
pub mod trust;
pub mod verifier;
#[cfg(feature = "transport")]
mod watch;

#[cfg(feature = "transport")]
pub use connection::Endpoints;
#[cfg(feature = "transport")]
pub use convert::EntryRef;
#[cfg(feature = "transport")]
pub use entries::{Entries, EntryPage};
pub use error::{Attempt, ClientError, Fork, Refusal};
#[cfg(feature = "transport")]
pub use evidence::EvidenceRequest;
#[cfg(feature = "transport")]
pub use filter::{RecordFilter, RecordPage};
pub use finished::FinishedStatement;
#[cfg(feature = "transport")]
pub use history::{History, HistoryVersion};
#[cfg(feature = "transport")]
pub use ledger::{EntryKey, Ledger, ReadKey};
#[cfg(feature = "transport")]
pub use policies::LaterPolicy;
#[cfg(feature = "transport")]
pub use proofs::{ProvenInclusion, ProvenOrder};
#[cfg(feature = "transport")]
pub use record::ListedRecord;
#[cfg(feature = "transport")]
pub use register::{Register, RegisterChange, RegisterCount, RegisterDiff, RegisterVersion};
#[cfg(feature = "transport")]
pub use submitter::{Outcome, Wait};
#[cfg(feature = "transport")]
pub use watch::Watch;

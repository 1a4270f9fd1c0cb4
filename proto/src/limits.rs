//! Every limit of the protocol, each with its reason. They are part of the level: a change of one
//! changes what the ledger accepts, so all nodes must change it at the same entry.

/// Own statement: 400 to 600 bytes are usual; 32 links and 32 controls fit into 4 KiB.
pub const STATEMENT_BYTES_MAX: usize = 4 * 1024;
/// Foreign statement: what one peer message and one proof file still carry without streaming.
pub const FOREIGN_STATEMENT_BYTES_MAX: usize = 60 * 1024;
/// One disclosure: a long text; anything larger is an attachment.
pub const DISCLOSURE_BYTES_MAX: usize = 64 * 1024;
/// All disclosures of a record: four of them fill a command, so that one record cannot starve others.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;
/// Fields of a record: the count in a commitment is at most 256.
pub const RECORD_FIELDS_MAX: usize = 256;
/// Fields of one of our own kinds: what a person can still read on one page.
pub const KIND_FIELDS_MAX: usize = 32;
/// Depth of a value within its disclosure: bounds recursion of every reader.
pub const VALUE_DEPTH_MAX: usize = 8;
/// Elements of a list within a value: a longer list is an attachment.
pub const LIST_ELEMENTS_MAX: usize = 1_000;
/// Text within a value, in bytes: several fit into a disclosure; a longer text is an attachment.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Largest integer in a value: the integers that every JSON reader holds exactly.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;
/// Digits of a decimal: what fits into a 128-bit decimal type.
pub const DECIMAL_DIGITS_MAX: usize = 34;
/// Free JSON that the client converts into a record: white space and long names may double it.
pub const FREE_JSON_BYTES_MAX: usize = 4 * RECORD_BYTES_MAX;
/// A file of submissions that the client reads at once.
pub const SUBMISSION_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Salt of a disclosure, in bytes: 128 bits are enough against guessing.
pub const SALT_BYTES_MIN: usize = 16;
/// Salt of a disclosure, in bytes: more than a hash holds adds nothing.
pub const SALT_BYTES_MAX: usize = 32;
/// Links in a header: they are looked up at apply, one read each.
pub const LINKS_MAX: usize = 32;
/// Controls in a header: more would not say what a record is about.
pub const CONTROLS_MAX: usize = 32;
/// Statements in one call: bounds the answer and the work of one caller.
pub const BATCH_STATEMENTS_MAX: usize = 1_000;
/// Statements and disclosures in one call: below the message limit of gRPC (4 MiB), with room for
/// framing.
pub const BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;
/// One Raft command: keeps a flush and a heartbeat behind it short.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;
/// One message between peers: several commands together.
pub const PEER_MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Results in one answer: with 1,000 statements of 4 KiB an answer stays below the message limit.
pub const PAGE_MAX: usize = 1_000;
/// Results in one answer, where the caller names no number.
pub const PAGE_DEFAULT: usize = 100;
/// Hashes of a proof: the height of a tree of 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;
/// A signed note: sixteen post-quantum cosignatures and a checkpoint.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;
/// Signatures of a note: nodes, witnesses and the log; each costs a verification.
pub const NOTE_SIGNATURES_MAX: usize = 16;
/// A stored attachment: it travels through the Raft log.
pub const BLOB_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// One chunk of an attachment: small beside a command, so that evidence passes between chunks.
pub const BLOB_CHUNK_BYTES_MAX: usize = 128 * 1024;
/// Origin (service id): the length of a key name of a note.
pub const ORIGIN_BYTES_MAX: usize = 255;
/// Organisation, principal and system ids: the length of a DNS label.
pub const ID_BYTES_MAX: usize = 63;
/// How far ahead of the registration time a statement's claimed time may lie, in seconds.
pub const ISSUED_AHEAD_SECONDS_MAX: u64 = 300;
/// Deadline of a call that names none, in seconds.
pub const DEADLINE_SECONDS_DEFAULT: u64 = 30;

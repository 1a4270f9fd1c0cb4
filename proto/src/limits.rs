//! Every limit of the protocol, each with its reason; the other modules take them from here. They
//! are part of the level: a change of one changes what the ledger accepts, so all nodes must change
//! it at the same entry.
//!
//! What protects one process from its callers (connections, streams, deadlines) stands with that
//! process.

// Statements.

/// Own statement: 400 to 600 bytes are usual; 32 links and 32 controls fit into 4 KiB.
pub const STATEMENT_BYTES_MAX: usize = 4 * 1024;
/// System record: genesis and policies hold two policy texts, which name every node.
pub const LEDGER_STATEMENT_BYTES_MAX: usize = 48 * 1024;
/// Submission with what others put into its unprotected header, and foreign statement: what one
/// peer message and one proof file still carry without streaming.
pub const FOREIGN_STATEMENT_BYTES_MAX: usize = 60 * 1024;
/// Entry in an evidence file: what the length of an entry in a tile bundle can say.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Arrays, maps and tags open at once in CBOR: bounds recursion of every reader.
pub const CBOR_DEPTH_MAX: usize = 16;
/// Items of one list in a header: apply reads up to four rows for a link.
pub const HEADER_LIST_MAX: usize = 32;
/// Links in a header.
pub const LINKS_MAX: usize = HEADER_LIST_MAX;
/// Controls in a header: more would not say what a record is about.
pub const CONTROLS_MAX: usize = HEADER_LIST_MAX;
/// Pairs of a state and a holder who signed an entity in it: far more people than work on one thing,
/// and its row stays below 48 KiB.
pub const ENTITY_SIGNINGS_MAX: usize = 256;
/// Ways in which the entities stand that link to one entity with one relation: a state, the other states
/// in which those who brought them there had signed, and how often that entity had begun again by then. A
/// life cycle of seven states, played by few people, knows some twenty for each beginning; each costs a
/// line of the row that guards read.
pub const LINKING_STANDINGS_MAX: usize = 256;
/// Issuer and subject: prefix, origin and ids fit twice.
pub const URI_BYTES_MAX: usize = 512;
/// Origin (service id): the length of a key name of a note.
pub const ORIGIN_BYTES_MAX: usize = 255;
/// Organisation, principal and system ids: the length of a DNS label.
pub const ID_BYTES_MAX: usize = 63;
/// Relation, state, scheme and control id: a word, not a sentence.
pub const WORD_BYTES_MAX: usize = 64;
/// Version of a kind: five digits, so that a content type has a bounded length.
pub const KIND_VERSION_MAX: u32 = 65_535;
/// Times in headers, in seconds: the last second of the year 9999, which RFC 3339 can still write.
pub const TIME_SECONDS_MAX: u64 = 253_402_300_799;
/// How far ahead of the registration time a statement's claimed time may lie, in seconds.
pub const ISSUED_AHEAD_SECONDS_MAX: u64 = 300;

// Records.

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
/// Attachments of a record: apply looks each of them up and counts it.
pub const ATTACHMENTS_MAX: usize = 32;
/// Text within a value, in bytes: several fit into a disclosure; a longer text is an attachment.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Name of a field at any depth: the length of an identifier in most programs.
pub const FIELD_NAME_BYTES_MAX: usize = 64;
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

// System records.

/// Operators in genesis, and approvals of a record: each costs a verification at apply.
pub const OPERATORS_MAX: usize = 32;
/// Nodes in genesis: far more than a Raft group can usefully have.
pub const NODES_MAX: usize = 32;
/// Name of an operator: a label, opaque like every id.
pub const OPERATOR_NAME_BYTES_MAX: usize = 63;
/// Label of a node: a DNS name and a port.
pub const NODE_LABEL_BYTES_MAX: usize = 255;
/// Receipt keys in force at once: one, and the next ones while they are being exchanged.
pub const RECEIPT_KEYS_MAX: usize = 8;
/// Log keys in force at once, as with receipt keys.
pub const LOG_KEYS_MAX: usize = 8;
/// Roles of a principal: more than any rule bundle defines.
pub const ROLES_MAX: usize = 16;
/// Kinds, subjects and fields of an engagement, each: a longer list is everything, or two engagements.
pub const ENGAGEMENT_LIST_MAX: usize = 64;
/// Reads in one `ledger.access` record: at 220 bytes each they fit into a system record.
pub const ACCESS_READS_MAX: usize = 200;
/// Controls of a catalogue: more do not fit into a system record anyway.
pub const CATALOGUE_CONTROLS_MAX: usize = 1_000;
/// Kinds, relations, spellings, clocks and dates of a control, each: what a person still reads.
pub const CATALOGUE_LIST_MAX: usize = 32;
/// Title within a catalogue: one line on a screen.
pub const CATALOGUE_TITLE_BYTES_MAX: usize = 200;
/// Schemes that one organisation declares: each stays in the memory of every node.
pub const CATALOGUES_MAX: usize = 8;
/// Versions of one catalogue of an organisation: each stays in the memory of every node, because older
/// entries are judged by it. Whoever needs more goes on under another scheme.
pub const CATALOGUE_VERSIONS_MAX: u32 = 16;
/// One policy text within a record: two of them, and approvals, fit into a system record.
pub const POLICY_TEXT_BYTES_MAX: usize = 16 * 1024;

// The transparency log.

/// Hashes of a proof for one leaf, or between two sizes: the height of a tree of 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;
/// A signed note: sixteen post-quantum cosignatures and a checkpoint.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;
/// Signatures of a note: nodes, witnesses and the log; each costs a verification.
pub const NOTE_SIGNATURES_MAX: usize = 16;
/// Public key within a verifier key: post-quantum keys have 1 to 2 KiB.
pub const NOTE_KEY_BYTES_MAX: usize = 8 * 1024;
/// A policy file: 64 lines of each kind with post-quantum keys would not fit, 32 of today's do.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// Logs, witnesses and groups of a policy, each: twice what the specification asks for.
pub const POLICY_ITEMS_MAX: usize = 64;
/// Extra data of a `.tlog-proof`: it is not authenticated, so nobody needs much of it.
pub const PROOF_EXTRA_BYTES_MAX: usize = 64 * 1024;
/// A `.tlog-proof`: a note, the extra data in Base64, and 63 hashes.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 2 * PROOF_EXTRA_BYTES_MAX;
/// A receipt: its header and 63 hashes.
pub const RECEIPT_BYTES_MAX: usize = 4 * 1024;
/// Protected header of a receipt: the origin stands in it twice.
pub const RECEIPT_HEADER_BYTES_MAX: usize = 1024;

// Evidence files.

/// Largest evidence file: it bounds what a reader has to hold in memory.
pub const EVIDENCE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Statements and disclosures of one evidence file together: in base64 and JSON, with proofs, they stay
/// below the largest file.
pub const EVIDENCE_CONTENT_BYTES_MAX: usize = EVIDENCE_BYTES_MAX / 2;
/// Records of an evidence file, and entries of its chain: a year's audit; more is several files.
pub const EVIDENCE_RECORDS_MAX: usize = 10_000;
/// Other heads of an evidence file: each costs a verified note.
pub const EVIDENCE_HEADS_MAX: usize = 64;
/// Heads that lead over changes of policy in an evidence file, the newest of a log: two changes a week
/// for ten years. Each costs two verified notes. Whoever asks a ledger is led over any number, page by
/// page.
pub const EVIDENCE_STEPS_MAX: usize = 1_024;

// Calls and commands.

/// Statements in one call: bounds the answer and the work of one caller.
pub const BATCH_STATEMENTS_MAX: usize = 1_000;
/// Statements and disclosures in one call: below the message limit of gRPC (4 MiB), with room for
/// framing.
pub const BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;
/// One Raft command: keeps a flush and a heartbeat behind it short.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;
/// Statements in one command; at 400 bytes each the byte limit comes first.
pub const COMMAND_ITEMS_MAX: usize = 4_096;
/// One message between peers: one read of the log (2 MiB), one command more, room for framing.
pub const PEER_MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Statements in one call that waits for the receipts: each comes back with a whole evidence file.
pub const RECEIPTS_MAX: usize = 100;
/// Results in one answer.
pub const PAGE_MAX: usize = 1_000;
/// A page of records ends once it has so many bytes: with one record more it still fits into a message
/// of 4 MiB, which is what gRPC clients take by default.
pub const PAGE_BYTES_GOAL: usize = 3 * 1024 * 1024;
/// Results in one answer, where the caller names no number.
pub const PAGE_DEFAULT: usize = 100;
/// A stored attachment: it travels through the Raft log.
pub const BLOB_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// One chunk of an attachment: small beside a command, so that evidence passes between chunks.
pub const BLOB_CHUNK_BYTES_MAX: usize = 128 * 1024;
/// How long an attachment stays that no entry names, in milliseconds: enough to finish an
/// interrupted upload.
pub const BLOB_UNUSED_MS_MAX: u64 = 24 * 3_600_000;
/// How far the registration time may step forward within a term, in milliseconds: a clock that
/// jumps further is wrong.
pub const TIME_STEP_MS_MAX: u64 = 60_000;
/// How far ahead of a node's own clock a cut may be dated, in milliseconds, that it cosigns.
pub const CUT_AHEAD_MS_MAX: u64 = 10_000;
/// Deadline of a call that names none, in seconds.
pub const DEADLINE_SECONDS_DEFAULT: u64 = 30;
/// Read token: between `iat` and `exp`, in seconds; a stolen one is soon worth nothing.
pub const TOKEN_LIFETIME_SECONDS_MAX: u64 = 300;
/// Read token: how far the clocks of caller and service may be apart, in seconds.
pub const TOKEN_SKEW_SECONDS: u64 = 60;
/// Longest time between the claimed time of an operator's statement and its expiry.
pub const OPERATOR_STATEMENT_SECONDS_MAX: u64 = 86_400;

/// Read token: ours have about 350 bytes; it travels in a header.
pub const TOKEN_BYTES_MAX: usize = 2_048;

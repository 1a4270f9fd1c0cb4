//! Evidence files: one or many records with everything that proves them under one head.

use std::collections::{BTreeMap, BTreeSet};

use aimslog_proto::{
    limits::EVIDENCE_CONTENT_BYTES_MAX,
    statement::{
        FieldProof, UnverifiedStatement,
        evidence::{
            EvidenceFile, FileEntry, FileField, FileHead, FileRecord, OtherHead, PolicyStep,
        },
        key::{Signature, Thumbprint},
        receipt::HeadReceipt,
    },
    system::registry::{KeyOwner, Registry},
    time::{UnixMillis, UnixSeconds},
    tlog::{Hash, LeafHash, LeafIndex, TreeSize},
};

use super::{
    apply::ApplyError,
    payload::{self, PayloadRow},
    policy_steps::{policy_changes, policy_steps},
    reader,
    row::{EntryRow, HeadRow},
    tree,
};
use crate::store::state_db::{Rows, StateError};

/// Which records to prove, and how much of them to show.
#[derive(Debug, Clone, Copy)]
pub struct EvidenceRequest<'a> {
    /// The records, strictly ascending; at least one, all covered by `head`.
    pub records: &'a [RequestedRecord<'a>],
    /// The head under which everything is proven.
    pub head: &'a HeadRow,
    /// An older head that the caller kept: the file shows that `head` extends it.
    pub since: Option<&'a HeadRow>,
    /// How much it tells of those who signed the records.
    pub signers: Signers,
}

/// A record that a file is to prove, as whoever decided about it has read it: it is not read again.
#[derive(Debug, Clone, Copy)]
pub struct RequestedRecord<'a> {
    /// Its place in the log.
    pub index: LeafIndex,
    /// Its row.
    pub entry: &'a EntryRow,
    /// The key that its statement names.
    pub signer: Thumbprint,
    /// Which of its fields are shown.
    pub fields: FieldChoice<'a>,
}

/// Which registry statements about its signer a file brings along for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signers {
    /// All that the head covers: also what has become of the signer since.
    UntilHead,
    /// Those in front of the record, which is as much as deciding about it took.
    UntilRecord,
}

/// Which fields of the records an evidence file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldChoice<'a> {
    /// All.
    All,
    /// None: only that the statements are logged.
    None,
    /// Those with these names.
    Named(&'a [String]),
}

/// Why there is no evidence file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceFileError {
    /// Rows are damaged.
    #[error(transparent)]
    State(#[from] StateError),
    /// A stored statement or record is damaged.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The log has no such entry under this head.
    #[error("no entry {index} under a head of {size}")]
    BeyondHead {
        /// The entry asked for.
        index: LeafIndex,
        /// Size of the head.
        size: u64,
    },
    /// The entry is a system record; those stand in the chain.
    #[error("entry {index} is a record of the ledger itself")]
    SystemRecord {
        /// The entry asked for.
        index: LeafIndex,
    },
    /// More bytes than a file may have.
    #[error("the records have more than {EVIDENCE_CONTENT_BYTES_MAX} bytes together")]
    TooLarge,
    /// What the state holds does not fit together.
    #[error("the state contradicts itself: {what}")]
    Contradiction {
        /// What does not hold.
        what: &'static str,
    },
}

/// The evidence file for these records. Reads as many rows as the records, their chain and one
/// multi-proof need.
///
/// # Errors
/// [`EvidenceFileError`].
pub fn evidence_file(
    rows: &(impl Rows + ?Sized),
    registry: &Registry,
    request: &EvidenceRequest<'_>,
) -> Result<EvidenceFile, EvidenceFileError> {
    let size = TreeSize(request.head.size);
    let mut records = Vec::new();
    let mut bytes = 0;
    let mut chain = Chain::new(rows, registry, size);
    for requested in request.records {
        let index = requested.index;
        if !size.contains(index) {
            return Err(EvidenceFileError::BeyondHead {
                index,
                size: size.0,
            });
        }
        if requested.entry.number == 0 {
            return Err(EvidenceFileError::SystemRecord { index });
        }
        let until = match request.signers {
            Signers::UntilHead => size,
            Signers::UntilRecord => TreeSize(index.0),
        };
        chain.lead_to_signer(requested.signer, until)?;
        let record = record(rows, requested.fields, (index, requested.entry))?;
        bytes += content_bytes(&record);
        if bytes > EVIDENCE_CONTENT_BYTES_MAX {
            return Err(EvidenceFileError::TooLarge);
        }
        records.push(record);
    }
    let policy_steps = chain.policy_steps()?;
    chain.lead_to_operators();
    let chain = chain.entries()?;
    let asked = request.records.iter().map(|record| record.index);
    let mut indices: Vec<LeafIndex> = asked.chain(chain.iter().map(|entry| entry.index)).collect();
    indices.sort_unstable();
    let proof = tree::multi(rows, indices, size)?.ok_or(EvidenceFileError::Contradiction {
        what: "records and their chain are ascending and covered by the head",
    })?;
    let genesis = registry.genesis().ok_or(EvidenceFileError::Contradiction {
        what: "a founded ledger has a genesis",
    })?;
    Ok(EvidenceFile {
        origin: genesis.origin.clone(),
        head: FileHead {
            checkpoint: note_text(request.head)?,
            receipt: head_receipt(registry, request.head)?,
        },
        records,
        chain,
        proof: proof.hashes().to_vec(),
        heads: bracketing_heads(rows, registry, request)?,
        policy_steps,
    })
}

/// What every receipt under this head has in common.
///
/// # Errors
/// When the registry has no receipt key for it.
pub fn head_receipt(registry: &Registry, head: &HeadRow) -> Result<HeadReceipt, EvidenceFileError> {
    let missing = EvidenceFileError::Contradiction {
        what: "a published head has a receipt key",
    };
    let Some(genesis) = registry.genesis() else {
        return Err(missing);
    };
    let last = LeafIndex(head.size.saturating_sub(1));
    let root = super::progress::tree_head(head.size, head.root).root;
    // While keys are exchanged there may be two; the signature says which.
    for key in registry.receipt_keys_at(last) {
        let receipt = HeadReceipt::from_signature(
            &genesis.origin,
            key.key.thumbprint(),
            UnixSeconds(head.receipt_iat),
            Signature(head.receipt_signature),
        );
        if receipt.verify(&key.key, &genesis.origin, &root).is_ok() {
            return Ok(receipt);
        }
    }
    Err(missing)
}

fn record(
    rows: &(impl Rows + ?Sized),
    choice: FieldChoice<'_>,
    (index, entry): (LeafIndex, &EntryRow),
) -> Result<FileRecord, EvidenceFileError> {
    let (fields, field_proof) = match choice {
        FieldChoice::None => (Vec::new(), Vec::new()),
        FieldChoice::All | FieldChoice::Named(_) => fields(rows, choice, index)?,
    };
    Ok(FileRecord {
        index,
        statement: entry.statement.to_vec(),
        fields,
        field_proof,
        registered_at: Some(UnixMillis(entry.time_ms)),
        register_number: (entry.number > 0).then_some(entry.number),
    })
}

fn content_bytes(record: &FileRecord) -> usize {
    let fields = record.fields.iter();
    let fields: usize = fields.map(|field| field.disclosure.len()).sum();
    record.statement.len() + fields
}

fn fields(
    rows: &(impl Rows + ?Sized),
    choice: FieldChoice<'_>,
    index: LeafIndex,
) -> Result<(Vec<FileField>, Vec<Hash>), EvidenceFileError> {
    // What was never given or is erased cannot be shown; the statement still verifies.
    let Some(PayloadRow::Present(bytes)) = reader::payload(rows, index)? else {
        return Ok((Vec::new(), Vec::new()));
    };
    let disclosures = payload::decode(&bytes).map_err(StateError::row("payload"))?;
    let mut shown = Vec::new();
    for (place, bytes) in (0_u32..).zip(&disclosures) {
        let text = str::from_utf8(bytes).map_err(|_wrong| EvidenceFileError::Contradiction {
            what: "a disclosure is UTF-8",
        })?;
        if is_chosen(choice, bytes) {
            shown.push(FileField {
                index: place,
                disclosure: text.to_owned(),
            });
        }
    }
    // All fields need no proof beside themselves, and none need none.
    if shown.is_empty() || shown.len() == disclosures.len() {
        return Ok((shown, Vec::new()));
    }
    let leaves: Vec<LeafHash> = disclosures
        .iter()
        .map(|bytes| LeafHash::of(bytes))
        .collect();
    let places: Vec<u64> = shown.iter().map(|field| u64::from(field.index)).collect();
    let proof =
        FieldProof::build(&leaves, &places).map_err(|_wrong| EvidenceFileError::Contradiction {
            what: "a stored record has a commitment",
        })?;
    Ok((shown, proof.hashes))
}

fn is_chosen(choice: FieldChoice<'_>, disclosure: &[u8]) -> bool {
    match choice {
        FieldChoice::All => true,
        FieldChoice::None => false,
        FieldChoice::Named(names) => aimslog_proto::statement::Disclosure::parse(disclosure)
            .is_ok_and(|field| names.iter().any(|name| name == field.name())),
    }
}

/// The newest head without any of the records, and the oldest with all of them: they bracket when
/// the records were logged. And the head that the caller kept.
fn bracketing_heads(
    rows: &(impl Rows + ?Sized),
    registry: &Registry,
    request: &EvidenceRequest<'_>,
) -> Result<Vec<OtherHead>, EvidenceFileError> {
    let ends = (request.records.first(), request.records.last());
    let (Some(first), Some(last)) = ends else {
        return Ok(Vec::new());
    };
    let before = reader::head_at_or_below(rows, TreeSize(first.index.0))?;
    let after = reader::head_at_or_above(rows, TreeSize(last.index.0 + 1))?;
    // A head of an earlier policy says nothing to a verifier that begins with a later one.
    let policy = |size: u64| {
        let at = LeafIndex(size.saturating_sub(1));
        registry.policy_at(at).map(|(since, _)| since)
    };
    let brackets = before.into_iter().chain(after);
    let brackets = brackets.filter(|head| policy(head.size) == policy(request.head.size));
    let chosen = brackets.chain(request.since.cloned());
    // Ascending by size, each once.
    let chosen: BTreeMap<u64, HeadRow> = chosen.map(|head| (head.size, head)).collect();
    let mut heads = Vec::new();
    for (size, head) in chosen {
        let sizes = [size.min(request.head.size), size.max(request.head.size)];
        if size == 0 || size == request.head.size {
            continue;
        }
        let proof = tree::consistency(rows, sizes.map(TreeSize))?;
        let proof = proof.ok_or(EvidenceFileError::Contradiction {
            what: "two kept heads are of one tree",
        })?;
        heads.push(OtherHead {
            checkpoint: note_text(&head)?,
            consistency: proof.hashes().to_vec(),
        });
    }
    Ok(heads)
}

fn note_text(head: &HeadRow) -> Result<String, EvidenceFileError> {
    String::from_utf8(head.note.to_vec()).map_err(|_wrong| EvidenceFileError::Contradiction {
        what: "a stored note is UTF-8",
    })
}

/// The system records that lead from genesis to signers and policies.
struct Chain<'a, R: ?Sized> {
    rows: &'a R,
    registry: &'a Registry,
    size: TreeSize,
    indices: BTreeSet<LeafIndex>,
}

impl<'a, R: Rows + ?Sized> Chain<'a, R> {
    fn new(rows: &'a R, registry: &'a Registry, size: TreeSize) -> Self {
        // Genesis is part of every chain, and what named or retired receipt and log keys.
        let all = [LeafIndex(0)].into_iter().chain(registry.keys_records());
        Self {
            rows,
            registry,
            size,
            indices: all.filter(|index| size.contains(*index)).collect(),
        }
    }

    /// Adds every record of the first `until` entries that says what the key is and what it may do, what
    /// says so of the keys that signed those, and so on.
    fn lead_to_signer(
        &mut self,
        signer: Thumbprint,
        until: TreeSize,
    ) -> Result<(), EvidenceFileError> {
        if self.registry.key(&signer).is_none() {
            return Err(EvidenceFileError::Contradiction {
                what: "a signer is registered",
            });
        }
        let leading = self.registry.leading_to([signer]).into_iter();
        self.indices
            .extend(leading.filter(|index| until.contains(*index)));
        Ok(())
    }

    /// The records that changed the policy, each with the head that led over.
    fn policy_steps(&mut self) -> Result<Vec<PolicyStep>, EvidenceFileError> {
        for since in policy_changes(self.registry, self.size) {
            self.indices.insert(since);
            let entry = self.entry(since)?;
            self.lead_to_signer(signer(&entry, since)?, self.size)?;
        }
        Ok(policy_steps(self.rows, self.registry, self.size)?)
    }

    /// Adds what leads to the operators behind the records that are there.
    fn lead_to_operators(&mut self) {
        let behind = self.indices.iter();
        let behind = behind.flat_map(|index| self.registry.signers_of(*index).iter().copied());
        // Of a principal nothing is told but what leads to its records.
        let is_operator = |kid: &Thumbprint| {
            let row = self.registry.key(kid);
            row.is_some_and(|row| matches!(row.owner, KeyOwner::Operator { .. }))
        };
        let behind: Vec<Thumbprint> = behind.filter(is_operator).collect();
        let leading = self.registry.leading_to(behind);
        let size = self.size;
        self.indices
            .extend(leading.into_iter().filter(|index| size.contains(*index)));
    }

    fn entries(&self) -> Result<Vec<FileEntry>, EvidenceFileError> {
        self.indices
            .iter()
            .map(|index| {
                let statement = self.entry(*index)?.statement.to_vec();
                Ok(FileEntry {
                    index: *index,
                    statement,
                })
            })
            .collect()
    }

    fn entry(&self, index: LeafIndex) -> Result<EntryRow, EvidenceFileError> {
        reader::entry(self.rows, index)?.ok_or(EvidenceFileError::Contradiction {
            what: "a registered record is an entry",
        })
    }
}

fn signer(entry: &EntryRow, index: LeafIndex) -> Result<Thumbprint, ApplyError> {
    UnverifiedStatement::parse(&entry.statement)
        .map(|statement| statement.header().key)
        .map_err(|source| ApplyError::StoredStatement {
            index: index.0,
            source,
        })
}

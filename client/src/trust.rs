//! The heads that a client remembers: what turns "the log says" into "the log always said".
//!
//! A new head either *extends* the remembered one (and is remembered instead), is *stale* (smaller
//! and consistent: the remembered one is the better answer), or is a *fork*: the two cannot both be
//! of one history, which is an alarm and never a matter of trying again. Who finds out which of them
//! it is, is `continuity`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aimslog_proto::tlog::consistency::ConsistencyError;
use aimslog_proto::tlog::note::NoteError;
use aimslog_proto::tlog::policy::PolicyError;
use aimslog_proto::tlog::{
    Checkpoint, ConsistencyProof, CosignedCheckpoint, Note, Policy, TreeHead,
};

use crate::error::ClientError;
use crate::file::{replace_file, replace_private_file};

/// A head that a policy accepted, with the note that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    note: String,
    cosigned: CosignedCheckpoint,
}

impl SignedHead {
    /// Checks a note against a policy.
    pub fn check(note: &str, policy: &Policy) -> Result<Self, String> {
        let parsed = Note::parse(note.as_bytes()).map_err(|error| chain(&error))?;
        let cosigned = policy.check(&parsed).map_err(|error| chain(&error))?;
        Ok(Self {
            note: note.to_owned(),
            cosigned,
        })
    }

    /// Size and root.
    pub fn head(&self) -> &TreeHead {
        self.cosigned.head()
    }

    /// The checkpoint with its signatures, verified.
    pub fn cosigned(&self) -> &CosignedCheckpoint {
        &self.cosigned
    }

    /// The signed note, verbatim.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// A head that somebody saved on an earlier occasion, perhaps under an earlier policy of the log: the
/// operators may have replaced a node since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHead {
    note: String,
    head: TreeHead,
    cosigned: Option<CosignedCheckpoint>,
}

impl KeptHead {
    /// Checks a note that the caller kept: the log of `policy` has signed it, and `policy` or one of
    /// `earlier` may accept its cosigners. Where none does, it is still what the log extends or not:
    /// a proof of that needs no signature on the older head. Where the log has another key since, one of
    /// `earlier` accepts the whole.
    pub fn check(note: &str, policy: &Policy, earlier: &[Policy]) -> Result<Self, String> {
        let parsed = Note::parse(note.as_bytes()).map_err(|error| chain(&error))?;
        let checkpoint = Checkpoint::parse(parsed.text()).map_err(|error| chain(&error))?;
        let cosigned = match policy.check(&parsed) {
            Ok(cosigned) => Some(cosigned),
            Err(PolicyError::NoQuorum { .. }) => accepted(&parsed, earlier),
            Err(error @ PolicyError::Log(NoteError::NoKnownKey)) => {
                Some(accepted(&parsed, earlier).ok_or_else(|| chain(&error))?)
            }
            Err(error) => return Err(chain(&error)),
        };
        Ok(Self {
            note: note.to_owned(),
            head: *checkpoint.head(),
            cosigned,
        })
    }

    /// Size and root.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The checkpoint with its signatures, where a policy accepts it.
    pub fn cosigned(&self) -> Option<&CosignedCheckpoint> {
        self.cosigned.as_ref()
    }

    /// The signed note, verbatim.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// What the first of these policies says that accepts the note.
fn accepted(note: &Note, policies: &[Policy]) -> Option<CosignedCheckpoint> {
    policies.iter().find_map(|policy| policy.check(note).ok())
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

/// How a head relates to the remembered one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same size and root.
    Same,
    /// Larger, and the remembered one is its prefix.
    Extends,
    /// Smaller, and a prefix of the remembered one.
    Stale,
    /// Not of one history with the remembered one.
    Fork,
}

/// Relates two heads of one log, given the consistency proof between them, from the smaller to the
/// larger; between equal sizes it plays no part. A proof that does not verify speaks against whoever
/// gave it: it is an error, and says nothing about the heads.
pub fn relate(
    remembered: &TreeHead,
    new: &TreeHead,
    proof: &ConsistencyProof,
) -> Result<Relation, ConsistencyError> {
    if remembered.size == new.size {
        let same = remembered.root == new.root;
        return Ok(if same { Relation::Same } else { Relation::Fork });
    }
    if remembered.size < new.size {
        proof.verify(remembered, new)?;
        Ok(Relation::Extends)
    } else {
        proof.verify(new, remembered)?;
        Ok(Relation::Stale)
    }
}

/// Remembers the newest head of one log in a file, so that the memory outlives the program.
#[derive(Debug)]
pub struct HeadMemory {
    file: Option<MemoryFile>,
    newest: Option<SignedHead>,
}

/// Where a memory lasts: the head, and beside it the policy that it satisfied. A policy that names
/// other nodes by now does not take back what was accepted before.
#[derive(Debug)]
struct MemoryFile {
    head: PathBuf,
    policy: Policy,
}

impl MemoryFile {
    fn policy_path(&self) -> PathBuf {
        self.head.with_extension("policy")
    }

    /// Keeps other processes from writing until it is dropped. The lock is a file of its own: the others
    /// are replaced.
    fn lock(&self) -> Result<fs::File, ClientError> {
        let path = self.head.with_extension("lock");
        let lock = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut options = fs::File::options();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(file_error(&path))
    }

    fn read(&self) -> Result<Option<SignedHead>, ClientError> {
        let Some(note) = read_if_there(&self.head)? else {
            return Ok(None);
        };
        let refused = |why: String| ClientError::Configuration {
            what: "remembered head",
            why: format!("{}: {why}", self.head.display()),
        };
        let note = String::from_utf8(note).map_err(|error| refused(error.to_string()))?;
        let why = match SignedHead::check(&note, &self.policy) {
            Ok(head) => return Ok(Some(head)),
            Err(why) => why,
        };
        let before = read_if_there(&self.policy_path())?;
        let Some(before) = before.and_then(|text| Policy::parse(&text).ok()) else {
            return Err(refused(why));
        };
        SignedHead::check(&note, &before).map(Some).map_err(refused)
    }

    fn write(&self, head: &SignedHead) -> Result<(), ClientError> {
        // The policy first: a head beside an older policy could not be read any more.
        let (policy, text) = (self.policy_path(), self.policy.to_canonical_bytes());
        if read_if_there(&policy)?.as_deref() != Some(text.as_slice()) {
            replace_private_file(&policy, &text).map_err(file_error(&policy))?;
        }
        replace_private_file(&self.head, head.note().as_bytes()).map_err(file_error(&self.head))
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ClientError {
    let path = path.display().to_string();
    |source| ClientError::File { path, source }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, ClientError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path)(error)),
    }
}

impl HeadMemory {
    /// A memory that lasts as long as the program.
    pub fn in_memory() -> Self {
        Self {
            file: None,
            newest: None,
        }
    }

    /// Reads the file, if there is one. What it holds is checked like any head, against the policy or,
    /// where that has changed since, against the one that the head was accepted under.
    pub fn open(path: &Path, policy: &Policy) -> Result<Self, ClientError> {
        let file = MemoryFile {
            head: path.to_owned(),
            policy: policy.clone(),
        };
        let newest = file.read()?;
        Ok(Self {
            file: Some(file),
            newest,
        })
    }

    /// The newest head that was remembered.
    pub fn newest(&self) -> Option<&SignedHead> {
        self.newest.as_ref()
    }

    /// Remembers a head that was found to extend `known`, the newest one at that time. Where another
    /// call or another process has remembered a head since, nothing is written, that head is the newest
    /// here too, and the answer is `false`: the memory goes from a head to one that extends it, never
    /// back and never aside. Written beside the old file and renamed over it: a crash leaves one of them.
    pub fn remember_after(
        &mut self,
        known: Option<&SignedHead>,
        head: SignedHead,
    ) -> Result<bool, ClientError> {
        let _lock = self.file.as_ref().map(MemoryFile::lock).transpose()?;
        if let Some(file) = &self.file {
            self.newest = file.read()?;
        }
        if self.newest.as_ref().map(SignedHead::head) != known.map(SignedHead::head) {
            return Ok(false);
        }
        if let Some(file) = &self.file {
            file.write(&head)?;
        }
        self.newest = Some(head);
        Ok(true)
    }

    /// Keeps both heads of a fork in a file beside the memory, as the proof to show around, and
    /// returns where.
    pub fn keep_fork(&self, other: &SignedHead) -> Result<Option<PathBuf>, ClientError> {
        let (Some(file), Some(newest)) = (&self.file, &self.newest) else {
            return Ok(None);
        };
        let path = file.head.with_extension("fork");
        let text = format!("{}\n{}", newest.note(), other.note());
        replace_file(&path, text.as_bytes()).map_err(file_error(&path))?;
        Ok(Some(path))
    }
}

#[cfg(test)]
mod tests;

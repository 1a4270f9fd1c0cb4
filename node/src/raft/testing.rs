//! A machine, a guard and connections for tests.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;

use super::*;
use crate::store::{
    fatal::FatalHook,
    raft_codec::{Reader, seal},
};

/// Collects commands; the outcome of each is its number. Keeps them in one file, so that it comes
/// back as far as a killed process would.
#[derive(Debug)]
pub(super) struct Collector {
    file: PathBuf,
    state: Mutex<Collected>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Collected {
    pub(super) applied: Applied,
    pub(super) commands: Vec<Bytes>,
}

impl Collector {
    pub(super) fn open(dir: &Path) -> Arc<Self> {
        let file = dir.join("state");
        let state = fs::read(&file).map_or_else(|_| Collected::default(), |b| Collected::read(&b));
        Arc::new(Self {
            file,
            state: Mutex::new(state),
        })
    }

    pub(super) fn state(&self) -> Collected {
        self.state.lock().unwrap().clone()
    }

    fn store(&self, state: &Collected) {
        let new = self.file.with_extension("new");
        fs::write(&new, state.bytes()).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }
}

impl Collected {
    fn bytes(&self) -> Vec<u8> {
        seal(|out| {
            let last = self.applied.last.unwrap_or(Position {
                term: 0,
                leader: 0,
                index: 0,
            });
            out.u32(u32::from(self.applied.last.is_some()));
            out.u64(last.term);
            out.u64(last.leader);
            out.u64(last.index);
            out.bytes(&self.applied.membership);
            out.u64(self.commands.len() as u64);
            self.commands.iter().for_each(|command| out.bytes(command));
        })
    }

    fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader::checked(bytes).unwrap();
        let present = reader.u32().unwrap() == 1;
        let (term, leader) = (reader.u64().unwrap(), reader.u64().unwrap());
        let last = Position {
            term,
            leader,
            index: reader.u64().unwrap(),
        };
        let membership = Bytes::copy_from_slice(reader.bytes().unwrap());
        let commands = (0..reader.u64().unwrap())
            .map(|_| Bytes::copy_from_slice(reader.bytes().unwrap()))
            .collect();
        Self {
            applied: Applied {
                last: present.then_some(last),
                membership,
            },
            commands,
        }
    }
}

impl Machine for Collector {
    fn applied(&self) -> Result<Applied, MachineError> {
        Ok(self.state().applied)
    }

    fn apply(&self, entries: &[LogEntry]) -> Result<Vec<Bytes>, MachineError> {
        let mut state = self.state.lock().unwrap();
        let mut outcomes = Vec::new();
        for entry in entries {
            let forward = state.applied.last < Some(entry.position);
            assert!(
                forward,
                "{} was applied after {:?}",
                entry.position, state.applied.last
            );
            state.applied.last = Some(entry.position);
            outcomes.push(match &entry.kind {
                EntryKind::Blank => Bytes::new(),
                EntryKind::Membership(bytes) => {
                    state.applied.membership = bytes.clone();
                    Bytes::new()
                }
                EntryKind::Command(bytes) => {
                    state.commands.push(bytes.clone());
                    Bytes::from(state.commands.len().to_string())
                }
            });
        }
        self.store(&state);
        Ok(outcomes)
    }

    fn sync(&self) -> Result<Applied, MachineError> {
        Ok(self.state().applied)
    }

    /// Three files: one to be copied, one empty, and one of several chunks to be linked.
    fn checkpoint(&self, dir: &Path) -> Result<Applied, MachineError> {
        let state = self.state();
        fs::create_dir(dir)?;
        fs::write(dir.join("state"), state.bytes())?;
        fs::write(dir.join("empty"), b"")?;
        fs::write(dir.join("1.sst"), pad())?;
        Ok(state.applied)
    }

    fn install(&self, dir: &Path, expected: &Applied) -> Result<(), MachineError> {
        let state = Collected::read(&fs::read(dir.join("state"))?);
        if state.applied != *expected {
            return Err("the copy is not what it is said to be".into());
        }
        assert_eq!(fs::read(dir.join("1.sst"))?, pad());
        assert_eq!(fs::read(dir.join("empty"))?, b"");
        self.store(&state);
        *self.state.lock().unwrap() = state;
        Ok(())
    }
}

fn pad() -> Vec<u8> {
    (0..2_500_000_u32)
        .map(|i| i.to_be_bytes()[3] ^ i.to_be_bytes()[2])
        .collect()
}

/// Remembers votes in memory and refuses to go back.
#[derive(Debug, Default)]
pub(super) struct MemoryGuard(pub(super) Mutex<Vec<Vote>>);

impl VoteGuard for MemoryGuard {
    fn vote_stored(&self, vote: &Vote) -> Result<(), GuardError> {
        let mut votes = self.0.lock().unwrap();
        match votes.last() {
            Some(held) if held.term > vote.term => Err(GuardError::Reversal {
                held: *held,
                asked: *vote,
            }),
            _ => {
                votes.push(*vote);
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct PlainDialer;

impl PeerDialer for PlainDialer {
    fn dial(&self, id: u64, member: &Member) -> Result<tonic::transport::Channel, DialError> {
        let address = || DialError::Address {
            id,
            addr: member.addr.clone(),
        };
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", member.addr))
            .map_err(|_invalid| address())?
            .connect_timeout(Duration::from_millis(500));
        Ok(endpoint.connect_lazy())
    }
}

#[derive(Debug)]
pub(super) struct OpenGate;

impl PeerGate for OpenGate {
    fn check(&self, _: &tonic::Extensions, _: u64) -> Result<(), GateError> {
        Ok(())
    }
}

pub(super) fn panicking() -> FatalHook {
    FatalHook::new(|error| panic!("{error}: {:?}", error.source))
}

//! The folder that a demo leaves behind.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::demo::data::{ATTACHMENTS, RECORDS, TRY_IT};
use crate::demo::name_of;
use crate::exit::UserError;

/// First line of the README, by which an earlier demo is known.
const MARK: &str = "# Aimslog demo";

const README: &str = "\
Everything here was made by `aimslog demo`. The hospital, its systems and its people are fictional.

| what | |
|---|---|
| `auditor/` | all that an auditor gets: `hospital.evidence.json` with every record, and `policy.txt` |
| `auditor/two-fields.evidence.json` | one decision with two of its fields shown; the others stay hidden |
| `auditor/flipped.evidence.json` | the same with one byte flipped; it does not verify |
| `records/` | the records as the hospital wrote them, by quarter, and the attachments that they name; `try-it.json` is not in the log yet |
| `hospital/` | keys of the hospital: its administrator `p-100`, and those who sign the records, such as the AI officer `p-240`, the auditors `p-301` and `p-302`, and the director `p-001` |
| `cluster/` | what `aimslogd init` made: one folder per node (with its data and its `log.txt`), one per operator, `public/` for everybody, `authority/` to be kept offline |
| `home/` | the command line's context for the commands below |

Check the evidence again, with no network and nothing but two files:

    AIMSLOG verify auditor/hospital.evidence.json --policy auditor/policy.txt

Look at one that was tampered with:

    AIMSLOG verify auditor/flipped.evidence.json --policy auditor/policy.txt

The rest needs the nodes. `aimslog demo --keep-running` leaves them running; this starts those of this
folder again, each with all that it had:

    for node in n1 n2 n3; do NODE run --config cluster/$node/aimslogd.toml 2>> cluster/$node/log.txt & done

Then, from this folder in the same or another terminal:

    export AIMSLOG_HOME=$PWD/home
    AIMSLOG cluster status
    AIMSLOG list --kind finding
    AIMSLOG submit records/try-it.json --wait receipt --evidence-dir auditor
    AIMSLOG disclose --register nonconformity -o auditor/nonconformities.evidence.json
    AIMSLOG checkpoint --save auditor/today.checkpoint
";

/// The folder of one demo.
#[derive(Debug)]
pub(super) struct DemoFolder {
    path: PathBuf,
    program: String,
    /// The README, locked while the demo runs, so that another one does not replace the folder.
    _lock: File,
}

impl DemoFolder {
    /// Makes the folder with its data. An earlier demo there is replaced; anything else is not.
    pub(super) fn make(path: &Path, node_program: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let about = || format!("cannot make {}", path.display());
        if path.exists() {
            let readme = fs::read_to_string(path.join("README.md")).unwrap_or_default();
            let is_empty = fs::read_dir(&path).with_context(about)?.next().is_none();
            if !is_empty && !readme.starts_with(MARK) {
                return Err(UserError::usage(format!(
                    "{} is not empty and no earlier demo: choose another with --dir",
                    path.display()
                )));
            }
            refuse_running(&path)?;
            fs::remove_dir_all(&path).with_context(about)?;
        }
        for folder in ["records/attachments", "hospital", "auditor", "home"] {
            fs::create_dir_all(path.join(folder)).with_context(about)?;
        }
        for (name, _) in RECORDS {
            let file = path.join("records").join(name);
            fs::create_dir_all(file.parent().unwrap_or(&path)).with_context(about)?;
        }
        let program = name_of(&std::env::current_exe()?);
        let readme = README
            .replace("AIMSLOG ", &format!("{program} "))
            .replace("NODE ", &format!("{} ", name_of(node_program)));
        fs::write(path.join("README.md"), format!("{MARK}\n\n{readme}")).with_context(about)?;
        let lock = File::open(path.join("README.md")).with_context(about)?;
        lock.try_lock().with_context(about)?;
        let folder = Self {
            path,
            program,
            _lock: lock,
        };
        folder.write("records/try-it.json", TRY_IT.as_bytes())?;
        for (name, text) in RECORDS {
            folder.write(&format!("records/{name}"), text.as_bytes())?;
        }
        for (name, content) in ATTACHMENTS {
            folder.write(&format!("records/attachments/{name}"), content)?;
        }
        Ok(folder)
    }

    /// How a shell calls this program.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// A path within.
    pub(super) fn join(&self, within: &str) -> PathBuf {
        self.path.join(within)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file within.
    pub(super) fn write(&self, within: &str, content: &[u8]) -> Result<()> {
        let path = self.join(within);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The folder of a demo that still runs is not replaced under its nodes.
fn refuse_running(path: &Path) -> Result<()> {
    let readme = path.join("README.md");
    if !readme.exists() {
        return Ok(());
    }
    let readme = File::open(&readme).with_context(|| readme.display().to_string())?;
    match readme.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(UserError::usage(format!(
            "a demo runs in {}: end it first (Ctrl-C), or choose another folder with --dir",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

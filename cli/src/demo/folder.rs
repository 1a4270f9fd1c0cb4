//! The folder that a demo leaves behind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::demo::data::{ATTACHMENTS, RECORDS};
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
| `records/` | the records as the hospital wrote them, and the attachments that they name |
| `hospital/` | keys of the hospital: its administrator, and the office that signs the records |
| `cluster/` | what `aimslogd init` made: one folder per node (with its data and its `log.txt`), one per operator, `public/` for everybody, `authority/` to be kept offline |
| `home/` | the command line's context for the commands below |

Check the evidence again, with no network and nothing but two files:

    aimslog verify auditor/hospital.evidence.json --policy auditor/policy.txt

Look at one that was tampered with:

    aimslog verify auditor/flipped.evidence.json --policy auditor/policy.txt

With the nodes running (`aimslog demo --keep-running`), from this folder:

    export AIMSLOG_HOME=$PWD/home
    aimslog cluster status
    aimslog list --kind finding
    aimslog submit records/01-inventory.jsonl
";

/// The folder of one demo.
#[derive(Debug)]
pub(super) struct DemoFolder {
    path: PathBuf,
}

impl DemoFolder {
    /// Makes the folder with its data. An earlier demo there is replaced; anything else is not.
    pub(super) fn make(path: &Path) -> Result<Self> {
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
            fs::remove_dir_all(&path).with_context(about)?;
        }
        for folder in ["records/attachments", "hospital", "auditor", "home"] {
            fs::create_dir_all(path.join(folder)).with_context(about)?;
        }
        let folder = Self { path };
        folder.write("README.md", format!("{MARK}\n\n{README}").as_bytes())?;
        for (name, text) in RECORDS {
            folder.write(&format!("records/{name}"), text.as_bytes())?;
        }
        for (name, content) in ATTACHMENTS {
            folder.write(&format!("records/attachments/{name}"), content)?;
        }
        Ok(folder)
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

//! A small volume of its own for the data of one node, which a test can fill.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, id};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

/// Names of mount points begin with this, and with the id of the process that made them.
const PREFIX: &str = "aimslog-volume-";

/// The file that takes the room.
const FILLER: &str = "filler";

/// A mounted volume. Gone, with everything on it, when it is dropped; keep it longer than whatever
/// has files on it.
#[derive(Debug)]
pub struct Volume {
    folder: TempDir,
}

impl Volume {
    /// Mounts an empty volume of so many MiB. Where this is not possible, says why: it takes root,
    /// and a kernel that lets it mount.
    pub fn mount(mib: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a volume needs root".to_owned());
        }
        sweep();
        let folder = TempDir::with_prefix(format!("{PREFIX}{}-", id()))
            .map_err(|error| format!("no folder to mount at: {error}"))?;
        let options = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options.as_str(), "aimslog-test"]);
        let mounted = mount.arg(folder.path()).output();
        let mounted = mounted.map_err(|error| format!("mount: {error}"))?;
        if !mounted.status.success() {
            let said = String::from_utf8_lossy(&mounted.stderr);
            return Err(format!("mount: {}", said.trim()));
        }
        Ok(Self { folder })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        let volume = statvfs(self.path()).unwrap();
        volume.f_bavail * volume.f_frsize
    }

    /// Takes room until so many bytes are left.
    pub fn leave(&self, bytes: u64) {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(self.filler());
        let mut file = file.unwrap();
        let taken = file.metadata().unwrap().len();
        let more = self.free_bytes().saturating_sub(bytes);
        if more > 0 && fallocate(&file, FallocateFlags::empty(), taken, more).is_err() {
            // Somebody else took some of it meanwhile: what is left goes below.
            file.flush().unwrap();
        }
        if bytes == 0 {
            let page = [0; 4096];
            while file.write_all(&page).is_ok() {}
        }
    }

    /// Gives back what was taken.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join(FILLER)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        unmount(self.path());
    }
}

fn unmount(path: &Path) {
    // Lazily: a process that is just ending may still hold it, and nothing waits for it.
    drop(Command::new("umount").arg("-l").arg(path).output());
}

/// Unmounts what tests left behind that were killed before they could.
fn sweep() {
    for line in fs::read_to_string("/proc/mounts")
        .unwrap_or_default()
        .lines()
    {
        let Some(path) = line.split(' ').nth(1).map(Path::new) else {
            continue;
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let gone = |owner: &str| !Path::new("/proc").join(owner).exists();
        if owner.is_some_and(gone) {
            unmount(path);
            drop(fs::remove_dir(path));
        }
    }
}

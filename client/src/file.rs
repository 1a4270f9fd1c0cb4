//! Writing files so that a crash leaves the old or the new content, never a mix.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file that is made to be handed on: who may read it is for the umask to say.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, |options| options)
}

/// Replaces a file that is for its owner alone: it may hold content that nobody has been shown yet.
pub fn replace_private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, private)
}

fn replace(
    path: &Path,
    content: &[u8],
    access: impl FnOnce(&mut fs::OpenOptions) -> &mut fs::OpenOptions,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let beside = path.with_file_name(name_beside(path));
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    let mut file = access(&mut options).open(&beside)?;
    let replaced = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path));
    if replaced.is_err() {
        drop(fs::remove_file(&beside));
    }
    replaced?;
    sync_folder(folder)
}

/// A name that no other process and no other file uses at the same time.
fn name_beside(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let (process, random) = (std::process::id(), rand::random::<u64>());
    name.push(format!(".{process}-{random:016x}.new"));
    name
}

#[cfg(unix)]
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    options
}

/// Makes the renaming last through a loss of power.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Elsewhere a folder cannot be opened as a file.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/head.txt");
        for content in ["one", "two"] {
            replace_file(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        let names = fs::read_dir(folder.path().join("state")).unwrap();
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn writers_at_the_same_time_do_not_mix_what_they_write() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["head.txt", "head.policy"].map(|name| folder.path().join(name));
        std::thread::scope(|scope| {
            for letter in ["a", "b", "c", "d"] {
                for path in &paths {
                    let content = format!("{}{letter}", path.display()).repeat(1000);
                    scope.spawn(move || {
                        for _ in 0..50 {
                            replace_file(path, content.as_bytes()).unwrap();
                        }
                    });
                }
            }
        });
        for path in &paths {
            let content = fs::read_to_string(path).unwrap();
            let whole = ["a", "b", "c", "d"]
                .map(|letter| format!("{}{letter}", path.display()).repeat(1000));
            assert!(whole.contains(&content), "{}", path.display());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox/entry.json");
        replace_private_file(&path, b"secret").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

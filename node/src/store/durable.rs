//! What makes the names of files last through a loss of power.

use std::fs::File;
use std::io;
use std::path::Path;

/// Syncs a folder: which files it holds, and under which names, is on disk then.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Syncs the folder that holds this file.
pub(crate) fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or_else(|| Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_folder_lies_in_the_one_where_we_are() {
        sync_folder_of(Path::new("Cargo.toml")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        sync_folder_of(&folder.path().join("file")).unwrap();
        assert!(sync_folder_of(&folder.path().join("none").join("file")).is_err());
    }
}
